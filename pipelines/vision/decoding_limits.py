"""The caps on what a picture may cost to decode, checked on its header, before memory is given to it.

A fetched file is a stranger's: a PNG of a few kilobytes can claim 200 megapixels, and a progressive JPEG can make a
decoder pass over the whole picture thousands of times. Only the first frame of anything is ever decoded, so the number
of frames costs nothing.
"""

from dataclasses import dataclass

from pipelines.vision.decoding_kinds import Undecodable


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one file.

    Attributes:
        bytes: size of the file as fetched.
        pixels: width × height as the header states them. 100 MP is above every camera of today and costs 0.4 GB.
        side: width or height in pixels; JPEG itself ends at 65,535.
        scans: passes of a progressive JPEG; a usual one has 10.
        scanned_pixels: pixels times scans. A scan of 100 MP can take 0.8 s, so this keeps any file under some 20 s.
        released_height: height of the released picture, in pixels: what a strip of extreme shape may grow to.

    """

    bytes: int = 100_000_000
    pixels: int = 100_000_000
    side: int = 65_535
    scans: int = 200
    scanned_pixels: int = 2_000_000_000
    released_height: int = 10_000

    def check_bytes(self, size: int) -> None:
        """Raise Undecodable if a file of ``size`` bytes is over the cap."""
        if size > self.bytes:
            raise Undecodable(f"the file has {size:,} bytes, more than the cap of {self.bytes:,}")

    def check_size(self, width: int, height: int) -> None:
        """Raise Undecodable if a picture of this size is empty or over a cap. Call before decoding."""
        if width < 1 or height < 1:
            raise Undecodable(f"the header states a size of {width} × {height} pixels")
        if width * height > self.pixels or max(width, height) > self.side:
            raise Undecodable(
                f"the picture has {width} × {height} pixels; the caps are {self.pixels:,} in all, {self.side:,} a side"
            )

    def check_scans(self, scans: int, pixels: int) -> None:
        """Raise Undecodable if a progressive JPEG of that many pixels has more passes than the caps allow."""
        cap = min(self.scans, self.scanned_pixels // pixels)
        if scans > cap:
            raise Undecodable(f"the JPEG has {scans} scans, more than the cap of {cap} for {pixels:,} pixels")

    def check_released(self, width: int, height: int) -> None:
        """Raise Undecodable if the released picture would be taller than the cap."""
        if height > self.released_height:
            raise Undecodable(
                f"at {width} px width the picture would be {height:,} px high; the cap is {self.released_height:,}"
            )


DEFAULT_LIMITS = Limits()
