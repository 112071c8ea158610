"""Large multimodal models on the command line: checked, asked, within a budget, in batches."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from support.command_line import Run
from support.lmm_server import COST, Act, LmmServer, Seen, fault, good
from support.places import CITIES

pytestmark = [
    pytest.mark.usefixtures("own_home"),
    pytest.mark.filterwarnings(
        "ignore:.*<socket:pytest.PytestUnraisableExceptionWarning",
        "ignore:unclosed:ResourceWarning",
    ),
]
LUND = CITIES["lund"]


def here(seen: Seen) -> Act:
    return good(*LUND, "Lund")


def test_each_model_is_checked_and_what_is_wrong_names_line_and_remedy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "NOT_SET"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "lmm.yaml"
    monkeypatch.setenv("GEOSEARCH_LMM_CONFIG", str(path))
    with LmmServer(lambda seen: good(1.5, 2.5)) as server:
        server.write_config(path, "openai", more="      model_info: {}\n".replace("      ", "    "))
        text = path.read_text() + (
            "  - model_name: unset\n"
            "    litellm_params: {model: openai/gpt-4o, api_key: os.environ/NOT_SET}\n"
            "  - model_name: keyless\n"
            "    litellm_params: {model: anthropic/claude-sonnet-4-5}\n"
            "  - model_name: blind\n"
            "    litellm_params: {model: openai/gpt-3.5-turbo, api_key: x}\n"
            "  - model_name: lost\n"
            "    litellm_params: {model: unheard-of, api_key: x}\n"
            "general_settings: {}\n"
        )
        path.write_text(text)
        code, out, err = run("config", "check", "--json")
        assert (code, server.seen) == (1, []), err
        dry = json.loads(out)
        code, out, _ = run("config", "check", "--live", "--json")
        live = json.loads(out)["models"]
        assert code == 1
        words = run("config", "check", "--live")[1]
    assert dry["unused_keys"] == ["general_settings"]
    wrong = {one["name"]: one["error"] for one in dry["models"]}
    lines = text.splitlines()
    assert wrong["eye"] is None
    assert f"line {lines.index('  - model_name: unset') + 2}: " in wrong["unset"]
    assert "export NOT_SET=" in wrong["unset"]
    assert "export ANTHROPIC_API_KEY=" in wrong["keyless"]
    assert "takes no pictures" in wrong["blind"]
    assert wrong["lost"] is None  # what its provider is shows only in a call
    assert "write PROVIDER/MODEL" in live[4]["error"]
    assert [one["reply"] is not None for one in live] == [True, False, False, False, False]
    assert (live[0]["answered_by"], live[0]["cost_usd"]) == ("scripted-1", pytest.approx(COST))
    assert len(server.served) == 2  # a live check is never answered from what is known
    assert "eye (openai/scripted" in words


def test_checking_without_a_configuration_says_what_to_set(run: Run) -> None:
    code, _, err = run("config", "check")
    assert code == 2
    assert "set GEOSEARCH_LMM_CONFIG" in err


def test_a_batch_goes_on_with_the_same_model_and_counts_its_cost_over_both_runs(
    run: Run, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("ingest", folder)[0] == 0
    out = tmp_path / "results.csv"
    with LmmServer(here) as server:
        path = server.write_config(tmp_path / "lmm.yaml", "openai", more="      max_tokens: 100\n")
        monkeypatch.setenv("GEOSEARCH_LMM_CONFIG", str(path))
        options = ("--out", out, "--max-cost-usd", "0.02", "--hint", "Skåne", "--json")
        code, text, err = run("locate", folder, *options)
    assert code == 0, err
    document = json.loads(text)
    assert document["cost_usd"] == pytest.approx(COST * len(server.served))
    assert 0 < document["cost_usd"] <= 0.02
    rows = list(csv.DictReader(out.open()))
    states = [row["lmm"] for row in rows]
    assert document["without_lmm"] == states.count("over-budget") > 0
    assert states.count("answered") > 0
    assert rows[states.index("answered")]["models"] == "eye (scripted-1)"


def test_the_journal_remembers_the_model_and_the_hint(
    run: Run, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("ingest", folder)[0] == 0
    out = tmp_path / "results.csv"
    journal = out.with_name(out.name + ".journal")
    with LmmServer(here) as server:
        path = server.write_config(tmp_path / "lmm.yaml", "openai")
        monkeypatch.setenv("GEOSEARCH_LMM_CONFIG", str(path))
        from geosearch.cli.batch import Journal

        with monkeypatch.context() as patch:

            def broken(self: Journal) -> None:
                raise KeyboardInterrupt

            patch.setattr(Journal, "finish", broken)
            assert run("locate", folder / "lund-0.jpg", "--out", out)[0] == 130
        head = json.loads(journal.read_text().splitlines()[0])
        assert head["lmm"] == {"model": "eye", "prompt": "1", "samples": 1, "hint": None}
        for other in (("--no-lmm",), ("--hint", "Skåne"), ("--samples", "2")):
            code, _, err = run("locate", folder / "lund-0.jpg", "--out", out, *other)
            assert code == 2
            assert "finish that one with the same settings" in err
        asked = len(server.seen)
        assert run("locate", folder / "lund-0.jpg", "--out", out)[0] == 0
        assert len(server.seen) == asked
    assert out.exists()


def test_people_are_told_when_the_photos_decided_alone(
    run: Run, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("ingest", folder)[0] == 0
    with LmmServer(lambda seen: fault(401, "bad key")) as server:
        path = server.write_config(tmp_path / "lmm.yaml", "openai")
        monkeypatch.setenv("GEOSEARCH_LMM_CONFIG", str(path))
        code, out, _ = run("locate", folder / "lund-0.jpg")
        assert code == 0
        assert "large multimodal model: failed; eye gave no reply; the photos decide alone" in out
        code, out, _ = run("locate", folder / "lund-0.jpg", "--no-lmm")
        assert "large multimodal model" not in out
    code, _, err = run("locate", folder / "lund-0.jpg", "--model", "gtp")
    assert code == 2
    assert "no model is named 'gtp'" in err
    code, _, err = run("locate", folder / "lund-0.jpg", "--model", "eye", "--no-lmm")
    assert code == 2


def test_what_is_learned_of_models_is_shown_and_reset(run: Run, database_url: str) -> None:
    from geosearch.catalogue.lmm_observations import LmmObservations
    from geosearch.catalogue.session import open_engine
    from geosearch.records import Observation, Pairing

    assert "nothing is learned yet" in run("config", "trust")[1]
    engine = open_engine(database_url)
    for model, agreed in (("eye", True), ("eye", True), ("ear", False)):
        pairing = Pairing(model, f"x/{model}", "the re-ranker 12345678 on lite", 0.3, 0.4)
        LmmObservations(engine).add(pairing, Observation(0.9, agreed))
    engine.dispose()
    code, out, err = run("config", "trust", "--json")
    assert code == 0, err
    ear, eye = json.loads(out)["trust"]
    assert (eye["model"], eye["deployments"], eye["observations"], eye["agreed"]) == (
        "eye", "x/eye", 2, 2
    )  # fmt: skip
    assert eye["ranked_by"] == "the re-ranker 12345678 on lite"
    assert 0.3 < eye["rate"] < 1.0
    assert ear["rate"] < 0.3 < eye["reach"]
    assert "agreed on 2 of 2" in run("config", "trust")[1]
    code, out, err = run("config", "trust", "--reset", "--model", "eya")
    assert (code, out) == (2, "")
    assert "no" in err
    assert "of these something was: ear, eye" in err
    out = run("config", "trust", "--reset", "--model", "eye", "--json")[1]
    assert json.loads(out)["forgotten"] == 2
    assert [one["model"] for one in json.loads(out)["trust"]] == ["ear"]
    assert "observations forgotten: 1" in run("config", "trust", "--reset")[1]
    assert json.loads(run("config", "trust", "--json")[1]) == {"trust": [], "forgotten": 0}


def test_one_model_is_named_only_to_forget_it(run: Run) -> None:
    code, _, err = run("config", "trust", "--model", "eye")
    assert code == 2
    assert "--model goes with --reset" in err
