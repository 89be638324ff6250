"""Settings of connections that do not go together are refused, with the remedy and no secret."""

from typing import Final

import pytest
import trustme

from runtime.kafka.config import KafkaConfig
from runtime.settings import SettingsError, SharedSettings, read_settings
from tests.certificates import encrypt, issued

SECRET: Final = "not-to-be-told"
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
    encrypted = encrypt(mine.key, folder / "encrypted", "secret")
    paths = {
        "encrypted": encrypted,
        "certificate": mine.certificate,
        "key": mine.key,
        "other": other.key,
    }
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
