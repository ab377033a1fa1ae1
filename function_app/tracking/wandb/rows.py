"""What goes to wandb-core, the SDK's own process, by another way than the SDK's: many rows at a time, and a quiet end."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import wandb
from wandb.proto import wandb_server_pb2
from wandb.sdk.interface.interface_sock import InterfaceSock

from function_app.errors import WandbBusyError

_AT_ONCE = 200


class Rows(InterfaceSock):
    """A run's way to wandb-core on which rows wait for one another: leaving it sends those that still do.

    `wandb.Run.log` (0.31) hands each row over to the SDK's thread and waits until it is written to the socket. With several
    runs at work that is most of a sync's CPU time: three times what the rows themselves take.
    """

    def __init__(self, run: wandb.Run) -> None:
        super().__init__(*_stream_of(run._interface))  # noqa: SLF001 (the SDK's channel to wandb-core has no public name)
        self._run = run
        self._waiting: list[Any] = []

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is still here."""
        self._send()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write a row, soon; as `wandb.Run.log(values, step=step)` does."""
        self.publish_partial_history(self._run, dict(values), user_step=step, step=step)
        if len(self._waiting) >= _AT_ONCE:
            self._send()

    def _publish(self, record: Any, *, nowait: bool = False) -> None:
        self._assign(record)
        request = wandb_server_pb2.ServerRequest()  # type: ignore[attr-defined] # generated, as the SDK itself uses it
        request.record_publish.CopyFrom(record)
        self._waiting.append(request)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._asyncer.run(lambda: self._publish_all(waiting))

    async def _publish_all(self, requests: Sequence[Any]) -> None:
        for request in requests:
            await self._client.publish(request)


class GoesOn(InterfaceSock):
    """A run's way to wandb-core on which closing the run does not make it a finished or failed one.

    The SDK wants to know that when a run is opened (0.31: `x_update_finish_state`), when nobody can know what will go wrong;
    wandb-core takes it with the exit, too.
    """

    def __init__(self, own: object) -> None:
        super().__init__(*_stream_of(own))

    def _make_exit(self, exit_code: int | None) -> Any:
        record = super()._make_exit(exit_code)
        record.not_complete = True
        return record


def leave_running(run: wandb.Run) -> None:
    """Have `wandb.Run.finish` send everything, and leave the run as one that goes on."""
    run._interface = GoesOn(run._interface)  # noqa: SLF001 (as above)


def _stream_of(own: object) -> tuple[Any, Any, str]:
    """What another way into the same stream of records is made of."""
    if not isinstance(own, InterfaceSock):
        raise WandbBusyError("The run is not open.")
    return own._asyncer, own._client, own._stream_id  # noqa: SLF001 (another way into the same stream)
