"""The Celery application: queues, and settings for a broker that may lose or repeat messages.

No torch here: a process that has touched CUDA cannot be forked.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.entity import Queue

EMBED, INDEX, LOCATE, MAINTENANCE = QUEUES = ("embed", "index", "locate", "maintenance")
"""Taking photos in; mending the index; locating photos; looking for what was lost or left."""

VISIBILITY_S = 1800
"""After so long Redis gives an unacknowledged message to another worker.

Far above the longest task (`workers.shift.SHIFT_S` and one batch), or a slow one is done twice.
"""

TASK_LIMIT_S = 900
"""A task that hangs is killed after so long, which counts as an attempt for what it was reading."""

CHILD_START_S = 120
"""How long a worker's child may load its model. Celery's own 4 s kill every respawned one."""

TASKS_PER_CHILD = 500
"""A child is replaced after so many tasks, because memory of models does not come back."""


def create_app(broker_url: str) -> Celery:
    """The application on a broker; connects to nothing yet."""
    app = Celery("geosearch", broker=broker_url, set_as_current=False)
    options: dict[str, Any] = {}
    if broker_url.startswith(("redis", "rediss")):
        # In all places that Celery looks at; the shortest of all programs on one broker wins.
        options = {
            "visibility_timeout": VISIBILITY_S,
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 10,
        }
    elif broker_url.startswith("amqp"):
        options = {"confirm_publish": True}
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,  # the catalogue knows what became of every photo
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        visibility_timeout=VISIBILITY_S,
        broker_transport_options=options,
        result_backend_transport_options={"visibility_timeout": VISIBILITY_S},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=10,
        task_publish_retry_policy={
            "max_retries": 30, "interval_start": 0.2, "interval_step": 0.3, "interval_max": 3.0,
        },
        task_acks_late=True,
        task_reject_on_worker_lost=True,  # a poisonous photo is stopped by its count of attempts
        task_time_limit=TASK_LIMIT_S,
        task_queues=[Queue(name, durable=True) for name in QUEUES],  # type: ignore[no-untyped-call]
        task_default_queue=EMBED,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=CHILD_START_S,
        worker_max_tasks_per_child=TASKS_PER_CHILD,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=True,
        enable_utc=True,
    )  # fmt: skip
    return app
