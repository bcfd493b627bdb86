using System.Collections.Generic;

namespace TexBridge
{
    /// <summary>The bridge's greeting.</summary>
    public sealed class Welcome
    {
        public readonly string Server;

        /// <summary>Another one after each start of the bridge.</summary>
        public readonly string Boot;

        public readonly string Session;
        public readonly bool Resumed;
        public readonly List<string> Features = new List<string>();
        public readonly List<string> Formats = new List<string>();
        public readonly List<string> Workflows = new List<string>();

        /// <summary>Streams by name, each with number, workflow, mode and state.</summary>
        public readonly List<Map> Streams = new List<Map>();

        /// <summary>The largest message that the bridge takes.</summary>
        public readonly ulong MaxMessageBytes;

        public Welcome(Map map)
        {
            Server = map.Text("server", "");
            Boot = map.Text("boot", "");
            Session = map.Text("session");
            Resumed = map.Flag("resumed");
            MaxMessageBytes = map.Child("limits").Unsigned("max_message_bytes", ulong.MaxValue);
            foreach (var word in map.List("features")) Features.Add(Map.AsText(word));
            foreach (var word in map.List("formats")) Formats.Add(Map.AsText(word));
            foreach (var workflow in map.List("workflows"))
                if (workflow is Map) Workflows.Add(((Map)workflow).Text("name", ""));
            foreach (var stream in map.List("streams"))
                if (stream is Map) Streams.Add((Map)stream);
        }

        public bool Has(string feature)
        {
            return Features.Contains(feature);
        }
    }

    /// <summary>The answer to `open`.</summary>
    public sealed class Opened
    {
        public readonly uint Number;
        public readonly bool Created;

        /// <summary>Of its pictures now; 0 if the graph has no size inputs.</summary>
        public readonly int Width, Height;

        public Opened(Map map)
        {
            Number = (uint)map.Unsigned("number");
            Created = map.Flag("created");
            var size = map.List("size");
            if (size.Count != 2) return;
            Width = System.Convert.ToInt32(size[0]);
            Height = System.Convert.ToInt32(size[1]);
        }
    }

    /// <summary>The one terminal answer of a request.</summary>
    public sealed class Finished
    {
        public readonly ulong Request;

        /// <summary>`done`, `superseded`, `expired`, `cancelled` or `failed`.</summary>
        public readonly string Outcome;

        public readonly bool Cached;
        public readonly int Code;
        public readonly string Name;
        public readonly string Message;

        /// <summary>How many sets were released, and the number of the last of them.</summary>
        public readonly uint Frames, Number;

        /// <summary>The seed used, or null.</summary>
        public readonly ulong? Seed;

        /// <summary>Microseconds by stage, and `transfer`.</summary>
        public readonly Map Timing;

        public bool IsDone { get { return Outcome == "done"; } }

        public Finished(Map map)
        {
            Request = map.Unsigned("request");
            Outcome = map.Text("outcome", "");
            Cached = map.Flag("cached");
            Code = (int)map.Unsigned("code");
            Name = map.Text("name", "");
            Message = map.Text("message", "");
            Frames = (uint)map.Unsigned("frames");
            Number = (uint)map.Unsigned("number");
            if (map.Has("seed")) Seed = map.Unsigned("seed");
            Timing = map.Child("timing");
        }

        /// <summary>Key or number of the request, as text that tells one from another.</summary>
        public static string KeyOf(Map map)
        {
            var key = map.Get("key");
            return Map.AsText(key) ?? (key == null ? null : key.ToString());
        }
    }

    /// <summary>A parameter as `describe` tells of it.</summary>
    public sealed class ParameterInfo
    {
        public readonly string Name, Label, Type, Unit;
        public readonly double? Min, Max, Step;
        public readonly List<string> Choices = new List<string>();

        /// <summary>As it came: bool, long, double, string or a list of numbers; null for a picture.</summary>
        public readonly object Default, Value;

        public ParameterInfo(Map map)
        {
            Name = map.Text("name", "");
            Label = map.Text("label", Name);
            Type = map.Text("type", "");
            Unit = map.Text("unit", "");
            if (map.Has("min")) Min = map.Number("min");
            if (map.Has("max")) Max = map.Number("max");
            if (map.Has("step")) Step = map.Number("step");
            foreach (var choice in map.List("choices")) Choices.Add(Map.AsText(choice));
            Default = map.Get("default");
            Value = map.Get("value");
        }
    }

    /// <summary>The answer to `describe`.</summary>
    public sealed class Described
    {
        public readonly string Workflow, Label, Mode, State;
        public readonly List<ParameterInfo> Parameters = new List<ParameterInfo>();
        public readonly List<string> Outputs = new List<string>();

        public Described(Map map)
        {
            Workflow = map.Text("workflow", "");
            Label = map.Text("label", Workflow);
            Mode = map.Text("mode", "");
            State = map.Text("state", "");
            foreach (var parameter in map.List("parameters"))
                if (parameter is Map) Parameters.Add(new ParameterInfo((Map)parameter));
            foreach (var output in map.List("outputs"))
                if (output is Map) Outputs.Add(((Map)output).Text("name", ""));
        }
    }

    /// <summary>`error` as an exception.</summary>
    public static class ErrorMessage
    {
        public static ProtocolException Read(Map map)
        {
            return new ProtocolException((int)map.Unsigned("code"), map.Text("message", "an error without words"),
                map.Text("name", ""), map.Text("field"));
        }
    }
}
