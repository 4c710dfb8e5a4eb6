"""Videos: frames with their times in, frame by frame; windows of them for networks that take clips; overlays out."""
