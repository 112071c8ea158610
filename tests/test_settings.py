from __future__ import annotations

from pathlib import Path

import pytest

from geosearch.errors import ConfigError
from geosearch.settings import PREFIX, Settings, known_variables, load_settings

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"


def test_the_environment_sets_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOSEARCH_ENCODER", "lite")
    monkeypatch.setenv("GEOSEARCH_BATCH_SIZE", "8")
    assert (load_settings().encoder, load_settings().batch_size) == ("lite", 8)
    assert load_settings(batch_size=4).batch_size == 4


def test_a_misspelt_variable_is_refused_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOSEARCH_ENCODR", "lite")
    with pytest.raises(ConfigError, match=r"GEOSEARCH_ENCODR.*did you mean GEOSEARCH_ENCODER"):
        load_settings()


def test_a_value_out_of_range_names_variable_and_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOSEARCH_BATCH_SIZE", "0")
    with pytest.raises(ConfigError, match=r"GEOSEARCH_BATCH_SIZE='0'.*greater than or equal to 1"):
        load_settings()


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://u:hunter2@h/d"])
def test_other_databases_are_refused_and_the_password_not_repeated(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOSEARCH_DATABASE_URL", url)
    with pytest.raises(ConfigError, match="postgresql://") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_secrets_are_masked_in_repr() -> None:
    settings = Settings(
        database_url="postgresql://u:hunter2@h/d",  # type: ignore[arg-type]
        qdrant_api_key="swordfish",  # type: ignore[arg-type]
    )
    assert "hunter2" not in repr(settings)
    assert "swordfish" not in repr(settings)


def test_home_is_absolute_and_knows_the_tilde() -> None:
    assert load_settings(home="~/x").home == Path.home() / "x"


def test_every_setting_is_documented_with_its_default() -> None:
    text = DOCS.read_text()
    for name, field in Settings.model_fields.items():
        row = next(
            (line for line in text.splitlines() if f"`{PREFIX}{name.upper()}`" in line), None
        )
        assert row is not None, f"{PREFIX}{name.upper()} is not in docs/configuration.md"
        assert f"`{field.default}`" in row or (field.default is None and "none" in row), row


def test_no_setting_is_documented_that_does_not_exist() -> None:
    import re

    named = set(re.findall(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]", DOCS.read_text()))
    assert named <= known_variables()


def test_embedded_stores_with_a_broker_are_refused_and_no_secret_is_repeated() -> None:
    with pytest.raises(ConfigError, match="set GEOSEARCH_DATABASE_URL and GEOSEARCH_QDRANT_URL"):
        load_settings(broker_url="redis://localhost")
    with pytest.raises(ConfigError, match="set GEOSEARCH_QDRANT_URL to servers") as caught:
        load_settings(broker_url="redis://localhost", database_url="postgresql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)


def test_a_broker_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must begin with one of redis://.*amqp://"):
        load_settings(broker_url="sqs://key@")


def test_secrets_may_be_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("postgresql://u:hunter2@h/d\n")
    monkeypatch.setenv("GEOSEARCH_DATABASE_URL_FILE", str(tmp_path / "url"))
    url = load_settings().database_url
    assert url is not None
    assert url.get_secret_value() == "postgresql://u:hunter2@h/d"
    given = load_settings(database_url="postgresql://other/d").database_url
    assert given is not None
    assert given.get_secret_value() == "postgresql://other/d"


@pytest.mark.parametrize("content", [None, "", "\n", b"\xff"])
def test_a_secret_file_that_holds_none_is_refused(
    tmp_path: Path, content: str | bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("GEOSEARCH_QDRANT_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match=r"GEOSEARCH_QDRANT_API_KEY_FILE=.*(read|empty)"):
        load_settings()


def test_a_secret_in_a_file_and_in_a_variable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("one")
    monkeypatch.setenv("GEOSEARCH_QDRANT_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("GEOSEARCH_QDRANT_API_KEY", "two")
    with pytest.raises(ConfigError, match="both"):
        load_settings()


def test_only_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOSEARCH_ENCODER_FILE", "/etc/hostname")
    with pytest.raises(ConfigError, match="not a setting"):
        load_settings()
