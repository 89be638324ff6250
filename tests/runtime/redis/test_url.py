"""`REDIS_URL`: what is taken, what is refused and why, and that no secret is shown."""

from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from runtime.redis.url import StoreUrl, shown
from runtime.settings import SharedSettings
from tests.certificates import Certificate, encrypt, issued

QUOTED = "%2F %3F %23 %40 %3A and %25"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificate, Certificate]:
    """Two certificates of an authority."""
    folder, authority = tmp_path_factory.mktemp("made"), trustme.CA()
    return issued(folder, "client", authority), issued(folder, "other", authority)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:1/3",
        "redis://[::1]:1/",
        "redis://user:p%40ss@host:1/0",
        "redis://:pass@host?db=2&protocol=2",
        "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=1&password=pass",
        "redis+sentinel://one/shop",
        "rediss+sentinel://a:b@one:1,[::1]:2/shop/4?sentinel_username=c&sentinel_password=d",
    ],
)
def test_a_valid_url_is_accepted(url: str) -> None:
    settings = SharedSettings(redis_url=url)
    assert settings.redis_url == url
    assert "pass" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("host:6379", "write one of redis://, rediss://, unix://, redis+sentinel://"),
        ("http://host", "write one of redis://"),
        ("redis://host:6379/0\n", "an end of line"),
        ("redis://user:pa#ss@host", QUOTED),
        ("redis://user:pa/ss@host", QUOTED),
        ("redis://user:pa?ss@host", QUOTED),
        ("redis://host:70000", "host or port"),
        ("redis://one,two", "host or port"),
        ("redis://host/zero", "database's number"),
        ("redis://host?db=x", "db that is no number"),
        ("redis://host?ssl_ca_certs=/ca.pem", "needs rediss://"),
        ("redis://host?sentinel_password=x", "none of db, protocol, username, password"),
        ("rediss://host?decode_responses=1", "ssl_ca_certs, ssl_certfile, ssl_keyfile"),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs that is none of required, none"),
        ("rediss://host?ssl_ca_certs=/no/ca.pem", "/no/ca.pem as ssl_ca_certs, which cannot be"),
        ("redis+sentinel://one,two/", "names no service"),
        ("redis+sentinel://one:x/shop", "host or port"),
        ("redis+sentinel://one/shop/zero", "database's number"),
    ],
)
def test_an_invalid_url_is_refused_with_the_remedy(url: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SharedSettings(redis_url=url)
    assert "redis_url" in str(refused.value)
    assert why in str(refused.value)


def test_files_that_are_no_certificates_or_of_another_key_are_refused(
    made: tuple[Certificate, Certificate], tmp_path: Path
) -> None:
    client, other = made
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    for options in (
        f"ssl_ca_certs={text}",
        f"ssl_certfile={client.certificate}&ssl_keyfile={other.key}",
        f"ssl_certfile={text}&ssl_keyfile={client.key}",
    ):
        with pytest.raises(ValueError, match="not certificates, or a key that does not match"):
            StoreUrl.of(f"rediss://host?{options}")
    with pytest.raises(ValueError, match="ssl_keyfile without ssl_certfile"):
        StoreUrl.of(f"rediss://host?ssl_keyfile={client.key}")
    whole = f"ssl_ca_certs={other.certificate}&ssl_certfile={client.certificate}"
    options = StoreUrl.of(f"rediss://host?{whole}&ssl_keyfile={client.key}").options
    assert options["ssl_keyfile"] == str(client.key)


def test_an_encrypted_key_is_opened_by_its_password_without_a_prompt(
    made: tuple[Certificate, Certificate], tmp_path: Path
) -> None:
    client, _ = made
    key = encrypt(client.key, tmp_path / "encrypted.key", "hunter2")
    url = f"rediss://host?ssl_certfile={client.certificate}&ssl_keyfile={key}"
    StoreUrl.of(f"{url}&ssl_password=hunter2")
    for wrong in ("", "&ssl_password=hunter3"):
        with pytest.raises(ValueError, match="ssl_password does not open"):
            StoreUrl.of(f"{url}{wrong}")


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2@host:1/zero",
        "redis://user:a/hunter2@host",
        "redis://user:a?hunter2@host",
        "redis://user:a#hunter2@host",
        "redis://user:a@hunter2@host/x",
        "redis://user:a:hunter2@host/x",
        "redis://user:hunter2/@host:1",
        "redis://user:1/2?hunter2@host",
        "user:hunter2@host",
        "redis://hunter2@host/x",
        "unix:///run/redis.sock?password=hunter2&no=1",
        "redis+sentinel://:hunter2@one/",
        "rediss+sentinel://one/shop/x?sentinel_password=hunter2&ssl_password=hunter2",
    ],
)
def test_a_password_is_never_shown_where_a_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SharedSettings(redis_url=url)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.errors())
    assert "hunter2" not in shown(url)
