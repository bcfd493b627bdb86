namespace TexBridge
{
    /// <summary>A stream, by its name or by its number.</summary>
    public struct StreamId
    {
        public string Name;
        public uint Number;

        public static implicit operator StreamId(string name)
        {
            return new StreamId { Name = name };
        }

        public static implicit operator StreamId(uint number)
        {
            return new StreamId { Number = number };
        }

        public override string ToString()
        {
            return Name ?? Number.ToString();
        }
    }

    /// <summary>What `hello` says. Fields that are null, 0 or false are left out.</summary>
    public sealed class HelloOptions
    {
        public string Client = "texbridge-unity";
        public string Token;
        public string Session;
        public uint MaxMessageBytes;
        public bool? SharedMemory;
        public string[] Events;
    }

    /// <summary>What `open` may say beside stream, workflow and mode.</summary>
    public sealed class OpenOptions
    {
        public string Mode = "latest";
        public ParameterSet Params;
        public string SeedPolicy;
        public double MaxFps;
        public int Width;
        public int Height;
        public string Aspect;
        public double Megapixels;
        public bool Replace;
    }

    /// <summary>What `run` may say beside stream and values. Negative numbers are left out.</summary>
    public sealed class RunOptions
    {
        public string Key;
        public ulong ClientTime;
        public double DeadlineMs = -1;
        public int Priority = -1;
        public ulong? Seed;
    }

    /// <summary>How a `subscribe` wants its frames.</summary>
    public sealed class SubscribeOptions
    {
        public PixelFormat Format = PixelFormat.Rgba8;

        /// <summary>Lowest row first, as Unity's textures want it.</summary>
        public bool BottomLeft = true;

        /// <summary>`latest`: the newest set alone. `lossless` and `paced`: every set in its order.</summary>
        public string Delivery = "latest";

        public int Credit = 1;
        public int[] Outputs;
        public int Width;
        public int Height;
        public string Fit;
        public bool Mips;
        public bool Previews;
        public bool Linear;
        public double Fps;
        public double MaxMbps;

        /// <summary>Held blends between two sets, so many a second; 0: none. Only `latest`, and no block format.</summary>
        public double BlendFps;

        public bool SharedMemory;

        public bool KeepsEverySet { get { return Delivery != "latest"; } }
    }

    /// <summary>Writes the messages from an engine to the bridge. An id of 0 asks for no answer.
    /// Source: protocols/engine-link.md.</summary>
    public static class EngineMessages
    {
        public const int Version = 1;

        public static void Hello(MsgPackWriter writer, ulong id, HelloOptions options)
        {
            Begin(writer, "hello", id);
            writer.Field("version", (ulong)Version);
            writer.Field("client", options.Client);
            if (options.Token != null) writer.Field("token", options.Token);
            if (options.Session != null) writer.Field("session", options.Session);
            if (options.MaxMessageBytes > 0) writer.Field("max_message_bytes", options.MaxMessageBytes);
            if (options.SharedMemory.HasValue) writer.Field("shared_memory", options.SharedMemory.Value);
            if (options.Events != null)
            {
                writer.Key("events");
                writer.BeginArray(options.Events.Length);
                foreach (var word in options.Events) writer.Text(word);
            }
            writer.EndMap();
        }

        public static void DescribeStream(MsgPackWriter writer, ulong id, StreamId stream)
        {
            Begin(writer, "describe", id);
            Stream(writer, stream);
            writer.EndMap();
        }

        public static void DescribeWorkflow(MsgPackWriter writer, ulong id, string workflow)
        {
            Begin(writer, "describe", id);
            writer.Field("workflow", workflow);
            writer.EndMap();
        }

        public static void Open(MsgPackWriter writer, ulong id, string stream, string workflow, OpenOptions options)
        {
            Begin(writer, "open", id);
            writer.Field("stream", stream);
            writer.Field("workflow", workflow);
            writer.Field("mode", options.Mode);
            Params(writer, options.Params);
            if (options.SeedPolicy != null) writer.Field("seed_policy", options.SeedPolicy);
            if (options.MaxFps > 0) writer.Field("max_fps", options.MaxFps);
            Size(writer, options.Width, options.Height);
            if (options.Aspect != null) writer.Field("aspect", options.Aspect);
            if (options.Megapixels > 0) writer.Field("megapixels", options.Megapixels);
            if (options.Replace) writer.Field("replace", true);
            writer.EndMap();
        }

        public static void Set(MsgPackWriter writer, ulong id, StreamId stream, ParameterSet values, ulong clientTime)
        {
            Begin(writer, "set", id);
            Stream(writer, stream);
            writer.Key("params");
            values.Write(writer);
            if (clientTime > 0) writer.Field("client_time", clientTime);
            writer.EndMap();
        }

        public static void Run(MsgPackWriter writer, ulong id, StreamId stream, ParameterSet values, RunOptions options)
        {
            Begin(writer, "run", id);
            Stream(writer, stream);
            Params(writer, values);
            if (options.Key != null) writer.Field("key", options.Key);
            if (options.ClientTime > 0) writer.Field("client_time", options.ClientTime);
            if (options.DeadlineMs >= 0) Compact(writer, "deadline_ms", options.DeadlineMs);
            if (options.Priority >= 0) writer.Field("priority", (ulong)options.Priority);
            if (options.Seed.HasValue) writer.Field("seed", options.Seed.Value);
            writer.EndMap();
        }

        public static void Sequence(
            MsgPackWriter writer, ulong id, StreamId stream, uint frames, TrackSet tracks, SequenceOptions options)
        {
            Begin(writer, "sequence", id);
            Stream(writer, stream);
            writer.Field("frames", frames);
            if (options.First != 0)
            {
                writer.Key("first");
                writer.Integer(options.First);
            }
            if (options.Fps > 0) Compact(writer, "fps", options.Fps);
            writer.Key("tracks");
            tracks.Write(writer);
            if (options.Images != null)
            {
                writer.Key("images");
                writer.BeginArray(options.Images.Length);
                foreach (var name in options.Images) writer.Text(name);
            }
            if (options.Key != null) writer.Field("key", options.Key);
            if (options.DeadlineMs >= 0) Compact(writer, "deadline_ms", options.DeadlineMs);
            if (options.Priority >= 0) writer.Field("priority", (ulong)options.Priority);
            if (options.Seed.HasValue) writer.Field("seed", options.Seed.Value);
            writer.EndMap();
        }

        public static void Image(
            MsgPackWriter writer, ulong id, StreamId stream, string param, PictureValue picture, ulong clientTime)
        {
            BeginImage(writer, id, stream, param, picture);
            if (clientTime > 0) writer.Field("client_time", clientTime);
            writer.EndMap();
        }

        /// <summary>The picture of one frame of a sequence.</summary>
        public static void ImageOfFrame(MsgPackWriter writer, ulong id, StreamId stream, string param,
            PictureValue picture, ulong request, uint index)
        {
            BeginImage(writer, id, stream, param, picture);
            writer.Field("request", request);
            writer.Field("index", index);
            writer.EndMap();
        }

        static void BeginImage(MsgPackWriter writer, ulong id, StreamId stream, string param, PictureValue picture)
        {
            Begin(writer, "image", id);
            Stream(writer, stream);
            writer.Field("param", param);
            writer.Key("value");
            picture.Write(writer);
        }

        public static void CancelRequest(MsgPackWriter writer, ulong id, ulong request, bool all)
        {
            Begin(writer, "cancel", id);
            writer.Field("request", request);
            if (all) writer.Field("all", true);
            writer.EndMap();
        }

        public static void CancelStream(MsgPackWriter writer, ulong id, StreamId stream, bool all)
        {
            Begin(writer, "cancel", id);
            Stream(writer, stream);
            if (all) writer.Field("all", true);
            writer.EndMap();
        }

        /// <summary>`live`, `freeze` or `blackout`.</summary>
        public static void Switch(
            MsgPackWriter writer, ulong id, string op, StreamId stream, bool on, double fadeSeconds)
        {
            Begin(writer, op, id);
            Stream(writer, stream);
            writer.Field("on", on);
            if (fadeSeconds > 0) writer.Field("fade_s", fadeSeconds);
            writer.EndMap();
        }

        public static void Subscribe(MsgPackWriter writer, ulong id, StreamId stream, SubscribeOptions options)
        {
            Begin(writer, "subscribe", id);
            Stream(writer, stream);
            writer.Field("format", PixelFormats.Name(options.Format));
            writer.Field("origin", options.BottomLeft ? "bottom_left" : "top_left");
            writer.Field("delivery", options.Delivery);
            writer.Field("credit", (ulong)options.Credit);
            if (options.Outputs != null)
            {
                writer.Key("outputs");
                writer.BeginArray(options.Outputs.Length);
                foreach (var output in options.Outputs) writer.Integer(output);
            }
            Size(writer, options.Width, options.Height);
            if (options.Fit != null) writer.Field("fit", options.Fit);
            if (options.Mips) writer.Field("mips", true);
            if (options.Previews) writer.Field("previews", true);
            if (options.Linear) writer.Field("color", "linear");
            if (options.Fps > 0) Compact(writer, "fps", options.Fps);
            if (options.MaxMbps > 0) Compact(writer, "max_mbps", options.MaxMbps);
            if (options.BlendFps > 0) Compact(writer, "blend_fps", options.BlendFps);
            if (options.SharedMemory) writer.Field("shared_memory", true);
            writer.EndMap();
        }

        public static void Ack(MsgPackWriter writer, StreamId stream, uint number)
        {
            Begin(writer, "ack", 0);
            Stream(writer, stream);
            writer.Field("number", number);
            writer.EndMap();
        }

        /// <summary>`ping`, `panic` or `resume`: messages without a field.</summary>
        public static void Bare(MsgPackWriter writer, ulong id, string op)
        {
            Begin(writer, op, id);
            writer.EndMap();
        }

        /// <summary>`stats`, `unsubscribe` or `close`: messages that name a stream alone.</summary>
        public static void OfStream(MsgPackWriter writer, ulong id, string op, StreamId stream)
        {
            Begin(writer, op, id);
            Stream(writer, stream);
            writer.EndMap();
        }

        static void Begin(MsgPackWriter writer, string op, ulong id)
        {
            writer.BeginMap();
            writer.Field("op", op);
            if (id > 0) writer.Field("id", id);
        }

        static void Stream(MsgPackWriter writer, StreamId stream)
        {
            if (stream.Name != null) writer.Field("stream", stream.Name);
            else writer.Field("stream", stream.Number);
        }

        static void Params(MsgPackWriter writer, ParameterSet values)
        {
            if (values == null || values.Count == 0) return;
            writer.Key("params");
            values.Write(writer);
        }

        // Whole numbers are one to five bytes as such, and nine as floats.
        static void Compact(MsgPackWriter writer, string name, double value)
        {
            writer.Key(name);
            Compact(writer, value);
        }

        internal static void Compact(MsgPackWriter writer, double value)
        {
            if (value >= 0 && value <= uint.MaxValue && value == (uint)value) writer.Unsigned((ulong)value);
            else writer.Number(value);
        }

        static void Size(MsgPackWriter writer, int width, int height)
        {
            if (width <= 0 || height <= 0) return;
            writer.Key("size");
            writer.BeginArray(2);
            writer.Integer(width);
            writer.Integer(height);
        }
    }
}
