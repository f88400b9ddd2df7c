"""Decoding pictures in threads, ahead of the network that waits for them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

_AHEAD = 4


def decoded(pictures: Iterable[bytes], threads: int) -> Iterator[NDArray[np.uint8]]:
    """Yield each picture as (H, W, 3) uint8 RGB, in order, decoding a few ahead.

    Raises:
        PictureError: a picture cannot be decoded.

    """
    from pipelines.vision.pictures import decode_rgb

    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[NDArray[np.uint8]]] = deque()
        for picture in pictures:
            waiting.append(pool.submit(decode_rgb, picture))
            if len(waiting) > threads * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
