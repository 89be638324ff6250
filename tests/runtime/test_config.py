"""Settings of connections that do not go together are refused, with the remedy and no secret."""

from typing import Any, Final

import pytest
import trustme
from pydantic import ValidationError

from archive.settings import ArchiveSettings
from runtime.archive.config import ArchiveConfig
from runtime.kafka.config import KafkaConfig
from runtime.redis.url import StoreUrl, shown
from runtime.settings import SettingsError, SharedSettings, read_settings
from tests.certificates import encrypt, issued

SECRET: Final = "not-to-be-shown"
SCRAM: Final = {
    "SECURITY_PROTOCOL": "SASL_SSL",
    "SASL_MECHANISM": "SCRAM-SHA-512",
    "SASL_USERNAME": "worker",
    "SASL_PASSWORD": SECRET,
}
SSL: Final = {"SECURITY_PROTOCOL": "SSL"}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An authority, a certificate with its key, another key, and a file that is none of these."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca")
    mine = issued(folder, "worker", authority)
    other = issued(folder, "other", trustme.CA())
    (folder / "text").write_text("neither")
    encrypt(mine.key, folder / "encrypted", "secret")
    paths = {"certificate": mine.certificate, "key": mine.key, "other": other.key}
    paths |= {name: folder / name for name in ("ca", "text", "missing", "encrypted")}
    return {name: str(path) for name, path in paths.items()}


def config(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> KafkaConfig:
    for name, value in settings.items():
        monkeypatch.setenv(f"KAFKA_{name}", value)
    return read_settings(SharedSettings).kafka


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"},
         "KAFKA_SASL_MECHANISM: is required by KAFKA_SECURITY_PROTOCOL=SASL_SSL: set it to"),
        ({"SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "a", "SASL_PASSWORD": SECRET},
         "KAFKA_SASL_MECHANISM='PLAIN': has no effect with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({**SCRAM, "SASL_USERNAME": None},
         "KAFKA_SASL_USERNAME: is required by KAFKA_SASL_MECHANISM"),
        ({**SCRAM, "SASL_PASSWORD": None},
         "KAFKA_SASL_PASSWORD: is required by KAFKA_SASL_MECHANISM"),
        ({**SCRAM, "SASL_MECHANISM": "OAUTHBEARER"},
         "KAFKA_SASL_TOKEN_URL: is required by KAFKA_SASL_MECHANISM=OAUTHBEARER"),
        ({"SSL_CA_FILE": "ca"}, "ca': has no effect with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({**SSL, "SSL_CA_FILE": "missing"}, "missing': cannot be read ("),
        ({**SSL, "SSL_CA_FILE": "text"}, "text': has no certificate in it"),
        ({**SSL, "SSL_KEY_FILE": "key"},
         "worker.key': has no effect without KAFKA_SSL_CERTIFICATE_FILE"),
        ({**SSL, "SSL_CERTIFICATE_FILE": "certificate", "SSL_KEY_FILE": "other"},
         "other.key': is not the key of"),
        ({**SSL, "SSL_CERTIFICATE_FILE": "certificate", "SSL_KEY_FILE": "encrypted"},
         "is encrypted: decrypt it"),
    ],
)  # fmt: skip
def test_conflicting_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, pem: dict[str, str], settings: dict[str, str], says: str
) -> None:
    given = {name: pem.get(value, value) for name, value in settings.items() if value}
    with pytest.raises(SettingsError) as refused:
        config(monkeypatch, given)
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = config(monkeypatch, SCRAM)
    assert SECRET not in f"{shown!r} {shown} {shown.model_dump_json()}"
    assert shown.password() == SECRET


def test_names_on_the_broker_begin_with_the_prefix() -> None:
    of_shop = KafkaConfig(prefix="shop.")
    assert of_shop.topic("quotes") == "shop.quotes"
    assert of_shop.name("shop.quotes.dead-letters") == "quotes.dead-letters"


QUOTED = "%2F %3F %23 %40 %3A and %25"


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
        ("user:hunter2@host:6379", "write one of redis://, rediss://, unix://, redis+sentinel://"),
        ("http://host", "write one of redis://"),
        ("redis://host:6379/0\n", "an end of line"),
        ("redis://user:a#hunter2@host", QUOTED),
        ("redis://user:a/hunter2@host", QUOTED),
        ("redis://user:a?hunter2@host", QUOTED),
        ("redis://user:1/2?hunter2@host", QUOTED),
        ("redis://user:hunter2/@host:1", QUOTED),
        ("redis://host:70000", "host or port"),
        ("redis://one,two", "host or port"),
        ("redis://user:hunter2@host:1/zero", "database's number"),
        ("redis://user:a@hunter2@host/x", ""),
        ("redis://user:a:hunter2@host/x", "database's number"),
        ("redis://hunter2@host/x", "database's number"),
        ("redis://host?db=x", "db that is no number"),
        ("redis://host?ssl_ca_certs=/ca.pem", "needs rediss://"),
        ("redis://host?sentinel_password=hunter2", "none of db, protocol, username, password"),
        ("unix:///run/redis.sock?password=hunter2&no=1", ""),
        ("rediss://host?decode_responses=1", "ssl_ca_certs, ssl_certfile, ssl_keyfile"),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs that is none of required, none"),
        ("rediss://host?ssl_ca_certs=/no/ca.pem", "/no/ca.pem as ssl_ca_certs, which cannot be"),
        ("redis+sentinel://:hunter2@one,two/", "names no service"),
        ("redis+sentinel://one:x/shop", "host or port"),
        ("rediss+sentinel://one/shop/x?sentinel_password=hunter2&ssl_password=hunter2",
         "database's number"),
    ],
)  # fmt: skip
def test_an_invalid_url_is_refused_with_the_remedy_and_without_its_password(
    url: str, why: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        SharedSettings(redis_url=url)
    assert "redis_url" in str(refused.value)
    assert why in str(refused.value)
    for said in (str(refused.value), repr(refused.value.errors()), shown(url)):
        assert "hunter2" not in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("ssl_ca_certs={text}", "not certificates, or a key that does not match"),
        ("ssl_certfile={certificate}&ssl_keyfile={other}", "not certificates, or a key that"),
        ("ssl_certfile={text}&ssl_keyfile={key}", "not certificates, or a key that does not"),
        ("ssl_keyfile={key}", "ssl_keyfile without ssl_certfile"),
        ("ssl_certfile={certificate}&ssl_keyfile={encrypted}", "ssl_password does not open"),
        ("ssl_certfile={certificate}&ssl_keyfile={encrypted}&ssl_password=x", "does not open"),
    ],
)
def test_files_that_are_no_certificates_or_of_another_key_are_refused_without_a_prompt(
    pem: dict[str, str], options: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        StoreUrl.of(f"rediss://host?{options.format(**pem)}")


@pytest.mark.parametrize("key", ["{key}", "{encrypted}&ssl_password=secret"])
def test_a_certificate_with_its_key_is_accepted(pem: dict[str, str], key: str) -> None:
    url = f"rediss://host?ssl_ca_certs={{ca}}&ssl_certfile={{certificate}}&ssl_keyfile={key}"
    options = StoreUrl.of(url.format(**pem)).options
    assert options["ssl_keyfile"] == pem[key[1:].partition("}")[0]]


FILES = {"py-io-impl": "runtime.archive.durable_files.DurableFileIO"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"catalog": "hive"}, "'sqlite', 'rest' or 'glue'"),
        ({"catalog": "rest"}, r"name the catalog's http\(s\):// URL"),
        ({"catalog": "rest", "catalog_uri": "here"}, r"name the catalog's http\(s\):// URL"),
        ({"catalog": "glue", "catalog_uri": "http://there"}, "leave it out"),
        ({"catalog_uri": "http://there"}, "no path of a file"),
        ({"warehouse": "s3://bucket"}, "with a warehouse in S3: name a file here"),
        ({"warehouse": "gs://bucket"}, "name a path, or s3://bucket/folder"),
        ({"warehouse": ""}, "name a path, or s3://bucket/folder"),
        ({"namespace": "A b"}, r"\[a-z0-9_\]"),
        ({"s3_endpoint": "minio:9000"}, "https?://"),
    ],
)
def test_conflicting_settings_of_an_archive_are_refused(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        ArchiveConfig(**settings)


def test_in_s3_glue_needs_no_more_than_the_warehouse() -> None:
    config = ArchiveConfig(catalog="glue", warehouse="s3://bucket/folder", s3_region="eu-central-1")
    assert config.catalog_properties() == {
        "type": "glue",
        "warehouse": "s3://bucket/folder",
        "s3.region": "eu-central-1",
        **FILES,
    }


def test_what_it_promises_of_erasure_leaves_time_for_each_step() -> None:
    settings = ArchiveSettings(archive_erase_within_hours=24, archive=ArchiveConfig())
    noticed = rewritten = settings.maintenance_interval_s
    assert noticed + settings.times.keep_replaced_s + rewritten <= 24 * 3_600
    assert settings.times.unreferenced_after_s <= settings.times.keep_replaced_s
