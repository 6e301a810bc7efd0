"""Mediation's settings, read once from the environment."""

from pydantic_settings import SettingsConfigDict

from services.settings import ServiceSettings


class MediationSettings(ServiceSettings):
    """Prefix ``MEDIATION_``; the vault key lies in ``LIANDIAO_KEYS_DIR``."""

    model_config = SettingsConfigDict(
        env_prefix="MEDIATION_", frozen=True, extra="ignore", populate_by_name=True
    )

    port: int = 8003
    client_id: str = "svc-mediation"
    party_sheet_retry_seconds: int = 5
