"""The application's promises: no torch, JSON alone, late acknowledgement, one name a task."""

from __future__ import annotations

import subprocess
import sys

import pytest

from geosearch.errors import ConfigError
from geosearch.settings import Settings
from workers.app import (
    CHILD_START_S,
    QUEUES,
    TASK_LIMIT_S,
    TASKS_PER_CHILD,
    VISIBILITY_S,
    create_app,
)
from workers.broker import LOCATE_PHOTOS, SETTLE, SWEEP, TAKE_IN, open_broker
from workers.lifecycle import Process, Runtime
from workers.shift import SHIFT_S
from workers.tasks import register
from workers.worker import serve


def test_a_parent_that_is_about_to_fork_has_loaded_no_torch_and_no_engine() -> None:
    script = (
        "import sys, workers.worker, workers.producer\n"
        "from workers.app import create_app\n"
        "from workers.lifecycle import Process\n"
        "from workers.tasks import register\n"
        "app = create_app('redis://localhost')\n"
        "register(app, Process(lambda: None))\n"
        "app.finalize()\n"
        "print(sorted({'torch', 'open_clip', 'qdrant_client', 'qdrant_edge'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_importing_the_package_loads_nothing() -> None:
    script = "import sys, workers; print('celery' in sys.modules, 'geosearch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_messages_are_json_acknowledged_late_and_one_at_a_time() -> None:
    conf = create_app("redis://localhost/0").conf
    assert (conf.accept_content, conf.task_serializer) == (["json"], "json")
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_ignore_result
    assert conf.result_backend is None


def test_redis_gives_no_message_to_a_second_worker_while_the_first_may_be_at_it() -> None:
    conf = create_app("redis://localhost/0").conf
    places = (
        conf.visibility_timeout,
        conf.broker_transport_options["visibility_timeout"],
        conf.result_backend_transport_options["visibility_timeout"],
    )
    assert places == (VISIBILITY_S,) * 3
    assert SHIFT_S < TASK_LIMIT_S < VISIBILITY_S


def test_a_child_has_time_to_load_its_model() -> None:
    assert create_app("amqp://localhost").conf.worker_proc_alive_timeout == CHILD_START_S >= 60


def test_a_child_that_hangs_is_killed_and_one_that_has_worked_long_is_replaced() -> None:
    conf = create_app("redis://localhost/0").conf
    assert (conf.task_time_limit, conf.worker_max_tasks_per_child) == (
        TASK_LIMIT_S, TASKS_PER_CHILD,
    )  # fmt: skip


def test_there_are_four_queues_and_each_task_has_its_name() -> None:
    app = create_app("redis://localhost")

    def never() -> Runtime:
        raise AssertionError("no task runs here")

    register(app, Process(never))
    assert [queue.name for queue in app.conf.task_queues] == list(QUEUES)
    assert {TAKE_IN, LOCATE_PHOTOS, SETTLE, SWEEP} <= set(app.tasks)


def test_without_a_broker_one_sentence_says_what_to_set() -> None:
    for start in (open_broker, serve):
        with pytest.raises(ConfigError, match="GEOSEARCH_BROKER_URL"):
            start(Settings())


def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(ConfigError, match="embed, index, locate, maintenance"):
        serve(Settings(), queues=["train"])
