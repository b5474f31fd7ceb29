"""Recordings of the bridge as MCAP files: raw bytes as they came, readings, and frames of joints.

    topic            encoding         schema             what
    /bytes/DEVICE    edgeskel.bytes   none               Chunk.data as it came; metadata: device, protocol, channel
    /readings/DEVICE json             edgeskel.Reading   Reading in SI units, with device, epoch and flags
    /frames/NAME     json             edgeskel.Frame     Frame of a Topology, which stands in the channel's metadata

A message's log time is the arrival on this host as nanoseconds since 1970. The host's monotonic clock, which everything
else in the bridge uses, runs beside it at a difference that is fixed when a recording begins and written into it, so
that :class:`McapRecording` gives back the very ``host_ns``. ``replay:FILE.mcap`` plays the bytes through the same codecs
as if they came now.
"""

from firmware_bridge.mcap.container import Channel, McapReader, McapWriter, Message, Schema
from firmware_bridge.mcap.recording import McapRecording, RecordedSource, Recorder

__all__ = ["Channel", "McapReader", "McapWriter", "Message", "Recorder", "McapRecording", "Schema", "RecordedSource"]
