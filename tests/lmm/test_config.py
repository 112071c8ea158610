from __future__ import annotations

from pathlib import Path

import pytest

from geosearch.errors import ConfigError
from geosearch.lmm.config import LmmConfig, load_config

# As in LiteLLM's own documentation of config.yaml, comments and proxy-only parts included.
LITELLM_EXAMPLE = """
model_list:
  - model_name: gpt-4o # model alias
    litellm_params: # all params accepted by litellm.completion()
      model: azure/my_azure_deployment
      api_base: os.environ/AZURE_API_BASE
      api_key: "os.environ/AZURE_API_KEY"
      api_version: "2024-07-01-preview"
      rpm: 6
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-4-5
      api_key: os.environ/ANTHROPIC_API_KEY
      timeout: 30
    model_info:
      supports_vision: true
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      weight: 3
litellm_settings:
  drop_params: True
  success_callback: ["langfuse"]
  num_retries: 4
  request_timeout: 10
  fallbacks: [{"gpt-4o": ["claude"]}]
router_settings:
  routing_strategy: simple-shuffle
  content_policy_fallbacks: [{"claude": ["gpt-4o"]}]
  model_group_alias: {"best": "claude"}
  retry_after: 2
general_settings:
  master_key: sk-1234
"""


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    def read(text: str) -> LmmConfig:
        path = tmp_path / "lmm.yaml"
        path.write_text(text)
        return load_config(path)

    return read


def test_litellms_own_form_is_read_as_it_is(read) -> None:  # type: ignore[no-untyped-def]
    config = read(LITELLM_EXAMPLE)
    assert config.names == ("gpt-4o", "claude")
    assert [one.model for one in config.group("gpt-4o")] == [
        "azure/my_azure_deployment",
        "openai/gpt-4o",
    ]
    assert config.group("best")[0].name == "claude"
    assert config.group(None)[0].name == "gpt-4o"
    assert (config.retries, config.timeout_s, config.retry_after_s) == (4, 10.0, 2.0)
    assert config.group("claude")[0].timeout_s == 30.0
    assert config.fallbacks == {"gpt-4o": ("claude",)}
    assert config.policy_fallbacks == {"claude": ("gpt-4o",)}
    assert config.litellm == {"drop_params": True}
    assert set(config.unused) == {
        "general_settings",
        "router_settings.routing_strategy",
        "litellm_settings.success_callback",
    }


def test_references_to_the_environment_are_resolved_when_needed(read) -> None:  # type: ignore[no-untyped-def]
    claude = read(LITELLM_EXAMPLE).group("claude")[0]
    assert claude.resolved({"ANTHROPIC_API_KEY": "k"})["api_key"] == "k"
    with pytest.raises(
        ConfigError,
        match=r"lmm\.yaml, line 13: api_key of model 'claude' .*ANTHROPIC_API_KEY is not set; run:",
    ):
        claude.resolved({})
    assert "sk-" not in repr(claude)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mapping with model_list"),
        ("- a\n", "mapping with model_list"),
        ("model_list:\n", "lmm.yaml, line 1: model_list: field required"),
        ("model_list: []\n", "line 1: model_list: list should have at least 1"),
        ("model_list:\n  - model_name: a\n", "line 2: model_list.0.litellm_params: field required"),
        (
            "model_list:\n  - model_name: a\n    litellm_params:\n      api_key: x\n",
            "line 3: model_list.0.litellm_params.model: field required",
        ),
        (
            "model_list:\n  - model_name: a\n    litellm_params:\n      model: x/y\n"
            "      timeout: soon\n",
            "line 5: model_list.0.litellm_params.timeout",
        ),
        ("model_list: [\n", "lmm.yaml, line 2 is not YAML"),
        ("a: 1\na: 2\n", "line 2: a is given twice"),
        ("model_list: !!python/object:os.system {}\n", "is not YAML"),
        (
            "model_list:\n  - model_name: a\n    litellm_params: {model: x/y}\n"
            "router_settings:\n  fallbacks:\n    - a: [b]\n",
            "line 6: fallbacks names 'b', which no entry of model_list has; it has a",
        ),
    ],
)
def test_errors_name_file_and_line(text: str, message: str, read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert message in str(caught.value)


def test_an_unknown_model_lists_those_there_are(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=r"'gpt-9' in .*it names gpt-4o, claude"):
        read(LITELLM_EXAMPLE).group("gpt-9")


def test_a_missing_file_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GEOSEARCH_LMM_CONFIG"):
        load_config(tmp_path / "none.yaml")


def test_included_files_add_their_models(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(
        "model_list:\n  - model_name: b\n    litellm_params:\n      model: x/b\n"
        "      api_key: os.environ/NOT_THERE\n"
    )
    main = tmp_path / "lmm.yaml"
    main.write_text(
        "include: [more.yaml]\nmodel_list:\n  - model_name: a\n    litellm_params: {model: x/a}\n"
    )
    config = load_config(main)
    assert config.names == ("a", "b")
    with pytest.raises(ConfigError, match=r"more\.yaml, line 5"):
        config.group("b")[0].resolved({})


def test_environment_variables_of_the_file_serve_references(read) -> None:  # type: ignore[no-untyped-def]
    config = read(
        "environment_variables:\n  MY_KEY: abc\nmodel_list:\n  - model_name: a\n"
        "    litellm_params: {model: x/a, api_key: os.environ/MY_KEY}\n"
    )
    assert config.group()[0].resolved(config.environment())["api_key"] == "abc"


def test_aliases_that_refer_to_each_other_do_not_multiply(read) -> None:  # type: ignore[no-untyped-def]
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    with pytest.raises(ConfigError, match="model_list: field required"):
        read(bomb)
