"""An embedded ComfyUI in a thread of the test, for programs: how many prompts it makes, the test says."""

import threading

from threaded import LIMIT_S, Threaded

from bridge.embedded import EmbeddedServer


class HeldComfy(Threaded):
    """`with HeldComfy(3) as comfy`: three prompts are made, the others wait at their first node until `release`."""

    def __init__(self, prompts=0):
        super().__init__(lambda: EmbeddedServer(before_node=self._before_node))
        self._left = prompts
        self._is_held = True
        self._seen = set()
        self._moved = threading.Condition()

    def _before_node(self, prompt_id, node_id):
        with self._moved:
            if prompt_id not in self._seen:
                self._seen.add(prompt_id)
                self._moved.wait_for(lambda: self._left > 0 or not self._is_held, LIMIT_S)
                self._left -= 1

    def release(self):
        """All that wait are made, and all that come."""
        with self._moved:
            self._is_held = False
            self._moved.notify_all()

    def __enter__(self):
        self.url = super().__enter__().url
        return self

    def __exit__(self, *exception):
        self.release()
        super().__exit__(*exception)
