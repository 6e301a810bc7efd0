"""Settings: read once from the environment, frozen, secrets typed secret."""

import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SharedSettings(BaseSettings):
    """What every service reads under the same name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    kafka_bootstrap_servers: str = Field("127.0.0.1:19092", alias="KAFKA_BOOTSTRAP_SERVERS")
    kafka_security_protocol: str = Field("SASL_PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL")
    kafka_sasl_mechanism: str = Field("SCRAM-SHA-256", alias="KAFKA_SASL_MECHANISM")
    kafka_ssl_ca_file: str | None = Field(None, alias="KAFKA_SSL_CA_FILE")
    cases_topic: str = Field("cases", alias="LIANDIAO_CASES_TOPIC")
    generation: int = Field(1, alias="LIANDIAO_GENERATION")
    # Names this work process among those of its service; two may not share it (static membership).
    instance: str = Field("0", alias="LIANDIAO_INSTANCE")
    # How long Kafka waits for a silent consumer before others take its partitions over.
    session_seconds: int = Field(15, ge=6, alias="LIANDIAO_SESSION_SECONDS")
    bind: str = Field("127.0.0.1", alias="LIANDIAO_BIND")
    keys_dir: Path = Field(Path(".liandiao/keys"), alias="LIANDIAO_KEYS_DIR")
    samples_dir: Path = Field(Path("samples"), alias="LIANDIAO_SAMPLES_DIR")
    clients_file: Path = Field(Path(".liandiao/clients.json"), alias="LIANDIAO_CLIENTS_FILE")
    spool_dir: Path = Field(Path(".liandiao/spool"), alias="LIANDIAO_SPOOL_DIR")
    test_installation: bool = Field(False, alias="LIANDIAO_TEST_INSTALLATION")
    log_level: str = Field("INFO", alias="LIANDIAO_LOG_LEVEL")
    intake_url: str = Field("http://127.0.0.1:8001", alias="INTAKE_URL")
    routing_url: str = Field("http://127.0.0.1:8002", alias="ROUTING_URL")
    mediation_url: str = Field("http://127.0.0.1:8003", alias="MEDIATION_URL")
    notification_url: str = Field("http://127.0.0.1:8004", alias="NOTIFICATION_URL")
    requests_per_second: int = Field(200, alias="LIANDIAO_REQUESTS_PER_SECOND")
    # Beyond this many requests in work, a process answers 503 at once instead of queueing.
    requests_at_once: int = Field(256, ge=1, alias="LIANDIAO_REQUESTS_AT_ONCE")
    pool_size: int = Field(10, alias="LIANDIAO_POOL_SIZE")


class ServiceSettings(SharedSettings):
    """A service's own settings; its subclass sets ``env_prefix`` to ``<SERVICE>_``."""

    database_url: SecretStr
    migrator_database_url: SecretStr | None = None
    kafka_user: str = ""
    kafka_password: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    port: int = 8000

    def kafka_client(self) -> dict[str, Any]:
        """Connection arguments for aiokafka."""
        answer: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            answer |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_user,
                "sasl_plain_password": self.kafka_password.get_secret_value(),
            }
        if self.kafka_security_protocol.endswith("SSL"):
            answer["ssl_context"] = ssl.create_default_context(cafile=self.kafka_ssl_ca_file)
        return answer
