using System.Collections.Generic;

namespace TexBridge
{
    /// <summary>How a value goes over from the key before to a key. Source: protocols/engine-link.md, Tracks.</summary>
    public struct Easing
    {
        /// <summary>`step`, `linear`, `smoothstep`, `cubic_in`, `cubic_out`, `cubic_in_out`; null: what the bridge takes
        /// for granted, linear, and a switch where nothing lies between two values.</summary>
        public string Name;

        double x1, y1, x2, y2;
        bool isBezier;

        public static implicit operator Easing(string name)
        {
            return new Easing { Name = name };
        }

        /// <summary>The cubic curve from (0, 0) to (1, 1) with these handles; x is 0..1.</summary>
        public static Easing Bezier(double x1, double y1, double x2, double y2)
        {
            return new Easing { x1 = x1, y1 = y1, x2 = x2, y2 = y2, isBezier = true };
        }

        internal bool IsSaid { get { return isBezier || !string.IsNullOrEmpty(Name); } }

        internal void Write(MsgPackWriter writer)
        {
            if (!isBezier)
            {
                writer.Text(Name);
                return;
            }
            writer.BeginArray(5);
            writer.Text("bezier");
            EngineMessages.Compact(writer, x1);
            EngineMessages.Compact(writer, y1);
            EngineMessages.Compact(writer, x2);
            EngineMessages.Compact(writer, y2);
        }
    }

    /// <summary>What moves in a sequence: keys by parameter, each with frame, value, and the easing of the way to it.
    /// Source: protocols/engine-link.md, Tracks.</summary>
    public sealed class TrackSet
    {
        struct Key
        {
            public int Frame;
            public ParameterValue Value;
            public Easing Easing;
        }

        readonly List<string> names = new List<string>();
        readonly Dictionary<string, List<Key>> tracks = new Dictionary<string, List<Key>>();

        /// <summary>How many parameters have a track.</summary>
        public int Count { get { return names.Count; } }

        public void Clear()
        {
            names.Clear();
            tracks.Clear();
        }

        /// <summary>Add a key, or set the one of this frame anew; gives the set itself, so that calls can be chained.</summary>
        public TrackSet Set(string parameter, int frame, ParameterValue value, Easing easing = default(Easing))
        {
            List<Key> keys;
            if (!tracks.TryGetValue(parameter, out keys))
            {
                tracks[parameter] = keys = new List<Key>();
                names.Add(parameter);
            }
            var key = new Key { Frame = frame, Value = value, Easing = easing };
            var place = keys.Count; // mostly the last one
            while (place > 0 && keys[place - 1].Frame >= frame) place--;
            if (place < keys.Count && keys[place].Frame == frame) keys[place] = key;
            else keys.Insert(place, key);
            return this;
        }

        /// <summary>Take all keys of another set over.</summary>
        public void Merge(TrackSet other)
        {
            foreach (var name in other.names)
                foreach (var key in other.tracks[name]) Set(name, key.Frame, key.Value, key.Easing);
        }

        public void Write(MsgPackWriter writer)
        {
            writer.BeginMap();
            foreach (var name in names)
            {
                var keys = tracks[name];
                writer.Key(name);
                writer.BeginArray(keys.Count);
                foreach (var key in keys)
                {
                    writer.BeginArray(key.Easing.IsSaid ? 3 : 2);
                    writer.Integer(key.Frame);
                    key.Value.Write(writer);
                    if (key.Easing.IsSaid) key.Easing.Write(writer);
                }
            }
            writer.EndMap();
        }
    }

    /// <summary>What `sequence` may say beside stream, frames and tracks. Negative numbers are left out.</summary>
    public sealed class SequenceOptions
    {
        /// <summary>The number of the first frame: keys and seeds count in these numbers, the index doesn't.</summary>
        public int First;

        public double Fps;

        /// <summary>Image parameters whose pictures come frame by frame: `Sequence.SendPicture`.</summary>
        public string[] Images;

        public string Key;
        public double DeadlineMs = -1;
        public int Priority = -1;
        public ulong? Seed;

        /// <summary>One of its own, which changes no more with this one.</summary>
        public SequenceOptions Copy()
        {
            return (SequenceOptions)MemberwiseClone();
        }
    }
}
