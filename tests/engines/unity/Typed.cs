// Says a message again by the package's own writers, from what stands in its map.
using System;
using System.Collections.Generic;
using System.Linq;

namespace TexBridge.Check
{
    public static class Typed
    {
        public static void Write(MsgPackWriter writer, Map map)
        {
            var id = map.Unsigned("id");
            var stream = map.Get("stream") is long ? (StreamId)(uint)map.Unsigned("stream") : map.Text("stream");
            switch (map.Text("op"))
            {
                case "hello":
                    EngineMessages.Hello(writer, id, new HelloOptions
                    {
                        Client = map.Text("client"), Token = map.Text("token"), Session = map.Text("session"),
                        MaxMessageBytes = (uint)map.Unsigned("max_message_bytes"),
                        SharedMemory = map.Has("shared_memory") ? map.Flag("shared_memory") : (bool?)null,
                        Events = map.Has("events") ? map.List("events").Select(Map.AsText).ToArray() : null,
                    });
                    break;
                case "describe":
                    if (map.Has("stream")) EngineMessages.DescribeStream(writer, id, stream);
                    else EngineMessages.DescribeWorkflow(writer, id, map.Text("workflow"));
                    break;
                case "open":
                    EngineMessages.Open(writer, id, map.Text("stream"), map.Text("workflow"), new OpenOptions
                    {
                        Mode = map.Text("mode"), Params = Params(map), SeedPolicy = map.Text("seed_policy"),
                        MaxFps = map.Number("max_fps"), Width = Side(map, 0), Height = Side(map, 1),
                        Aspect = map.Text("aspect"), Megapixels = map.Number("megapixels"), Replace = map.Flag("replace"),
                    });
                    break;
                case "set":
                    EngineMessages.Set(
                        writer, id, stream, Params(map) ?? new ParameterSet(), map.Unsigned("client_time"));
                    break;
                case "run":
                    EngineMessages.Run(writer, id, stream, Params(map), new RunOptions
                    {
                        Key = map.Text("key"), ClientTime = map.Unsigned("client_time"),
                        DeadlineMs = map.Number("deadline_ms", -1), Priority = map.Has("priority") ? (int)map.Unsigned("priority") : -1,
                        Seed = map.Has("seed") ? map.Unsigned("seed") : (ulong?)null,
                    });
                    break;
                case "sequence":
                    EngineMessages.Sequence(
                        writer, id, stream, (uint)map.Unsigned("frames"), Tracks(map.Child("tracks")), new SequenceOptions
                    {
                        First = (int)map.Number("first"), Fps = map.Number("fps"), Key = map.Text("key"),
                        Images = map.Has("images") ? map.List("images").Select(Map.AsText).ToArray() : null,
                        DeadlineMs = map.Number("deadline_ms", -1),
                        Priority = map.Has("priority") ? (int)map.Unsigned("priority") : -1,
                        Seed = map.Has("seed") ? map.Unsigned("seed") : (ulong?)null,
                    });
                    break;
                case "image":
                    if (map.Has("request"))
                    {
                        EngineMessages.ImageOfFrame(writer, id, stream, map.Text("param"), Picture(map.Child("value")),
                            map.Unsigned("request"), (uint)map.Unsigned("index"));
                        break;
                    }
                    EngineMessages.Image(writer, id, stream, map.Text("param"), Picture(map.Child("value")),
                        map.Unsigned("client_time"));
                    break;
                case "cancel":
                    if (map.Has("request")) EngineMessages.CancelRequest(writer, id, map.Unsigned("request"), map.Flag("all"));
                    else EngineMessages.CancelStream(writer, id, stream, map.Flag("all"));
                    break;
                case "live":
                case "freeze":
                case "blackout":
                    EngineMessages.Switch(writer, id, map.Text("op"), stream, map.Flag("on"), map.Number("fade_s"));
                    break;
                case "subscribe":
                    EngineMessages.Subscribe(writer, id, stream, new SubscribeOptions
                    {
                        Format = Format(map.Text("format")), BottomLeft = map.Text("origin") == "bottom_left",
                        Delivery = map.Text("delivery"), Credit = (int)map.Unsigned("credit"),
                        Outputs = map.Has("outputs") ? map.List("outputs").Select(Convert.ToInt32).ToArray() : null,
                        Width = Side(map, 0), Height = Side(map, 1), Fit = map.Text("fit"), Mips = map.Flag("mips"),
                        Previews = map.Flag("previews"), Linear = map.Text("color") == "linear",
                        Fps = map.Number("fps"), BlendFps = map.Number("blend_fps"), MaxMbps = map.Number("max_mbps"), SharedMemory = map.Flag("shared_memory"),
                    });
                    break;
                case "ack":
                    EngineMessages.Ack(writer, stream, (uint)map.Unsigned("number"));
                    break;
                case "ping":
                case "panic":
                case "resume":
                    EngineMessages.Bare(writer, id, map.Text("op"));
                    break;
                case "stats":
                case "unsubscribe":
                case "close":
                    EngineMessages.OfStream(writer, id, map.Text("op"), stream);
                    break;
                default:
                    throw new NotSupportedException("no writer for " + map.Text("op"));
            }
        }

        static int Side(Map map, int place)
        {
            var size = map.List("size");
            return size.Count == 2 ? Convert.ToInt32(size[place]) : 0;
        }

        static PixelFormat Format(string name)
        {
            return Enum.GetValues(typeof(PixelFormat)).Cast<PixelFormat>().First(
                format => PixelFormats.Name(format) == name);
        }

        static ParameterSet Params(Map map)
        {
            if (!map.Has("params")) return null;
            var set = new ParameterSet();
            foreach (var pair in map.Child("params")) set.Set(pair.Key, Value(pair.Value));
            return set;
        }

        static ParameterValue Value(object value)
        {
            if (value is long) return (long)value;
            if (value is ulong) return (ulong)value;
            if (value is double) return (double)value;
            if (value is bool) return (bool)value;
            if (value is string) return (string)value;
            if (value is Map) return Picture((Map)value);
            var numbers = ((List<object>)value).Select(Convert.ToDouble).ToArray();
            if (numbers.Length == 2) return ParameterValue.Numbers(numbers[0], numbers[1]);
            if (numbers.Length == 3) return ParameterValue.Numbers(numbers[0], numbers[1], numbers[2]);
            return ParameterValue.Numbers(numbers[0], numbers[1], numbers[2], numbers[3]);
        }

        static TrackSet Tracks(Map map)
        {
            var tracks = new TrackSet();
            foreach (var pair in map)
                foreach (List<object> key in (List<object>)pair.Value)
                {
                    var easing = default(Easing);
                    if (key.Count > 2 && key[2] is string) easing = (string)key[2];
                    else if (key.Count > 2)
                    {
                        var handles = ((List<object>)key[2]).Skip(1).Select(Convert.ToDouble).ToArray();
                        easing = Easing.Bezier(handles[0], handles[1], handles[2], handles[3]);
                    }
                    tracks.Set(pair.Key, Convert.ToInt32(key[0]), Value(key[1]), easing);
                }
            return tracks;
        }

        static PictureValue Picture(Map map)
        {
            if (map.Has("slot"))
                return new PictureValue { InSlot = true, Slot = (uint)map.Unsigned("slot"), Seq = map.Unsigned("seq") };
            if (map.Has("encoded")) return PictureValue.File((byte[])map.Get("encoded"));
            return PictureValue.Pixels((byte[])map.Get("data"), (int)map.Unsigned("width"), (int)map.Unsigned("height"),
                Format(map.Text("format")), map.Text("origin") == "bottom_left");
        }
    }
}
