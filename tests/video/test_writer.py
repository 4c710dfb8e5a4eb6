from fractions import Fraction

import numpy as np
import pytest

from refseg.video import writer
from refseg.video.reading import read_frames

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'refseg[video]'")
CODECS = {"libx264": "h264", "mpeg4": "mpeg4"}


@pytest.mark.parametrize("encoder", [name for name in writer.ENCODERS if name in av.codecs_available])
@pytest.mark.parametrize("base", [Fraction(1, 24), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 24_000)])
def test_times_and_pixels_come_back_at_odd_sizes_too(encoder, base, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ENCODERS", {encoder: writer.ENCODERS[encoder]})
    times = [tick * base for tick in (0, 3, 4, 50, 1000, 1001)]
    pixels = np.full((65, 97, 3), 90, np.uint8)
    pixels[:30, :40] = 200
    with writer.video_writer(tmp_path / "out.mp4", (65, 97), base) as add:
        for time in times:
            add(time, pixels)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == CODECS[encoder]
    frames = list(read_frames(tmp_path / "out.mp4"))
    assert [float(frame.time) for frame in frames] == pytest.approx(list(map(float, times)), abs=2e-5)
    for frame in frames:
        assert frame.pixels.shape == (66, 98, 3)
        assert np.abs(frame.pixels[:65, :97].astype(int) - pixels).mean() < 4


def test_frames_that_are_nearer_than_the_codec_can_say_stay_in_order(tmp_path):
    with writer.video_writer(tmp_path / "out.mp4", (16, 16), Fraction(1, 10**6)) as add:
        for tick in range(5):
            add(Fraction(tick, 10**6), np.zeros((16, 16, 3), np.uint8))
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 5
