using System;
using System.Collections.Generic;

namespace TexBridge
{
    /// <summary>A msgpack map as it came: null, bool, long (ulong above its range), double, string, byte[], List&lt;object&gt;
    /// and Map inside. Getters give a default for what is absent or nil, and take what real senders send: text as bin,
    /// whole numbers as floats.</summary>
    public sealed class Map : Dictionary<string, object>
    {
        public Map() : base(StringComparer.Ordinal)
        {
        }

        public bool Has(string name)
        {
            object value;
            return TryGetValue(name, out value) && value != null;
        }

        public object Get(string name)
        {
            object value;
            return TryGetValue(name, out value) ? value : null;
        }

        public string Text(string name, string absent = null)
        {
            return AsText(Get(name)) ?? absent;
        }

        public ulong Unsigned(string name, ulong absent = 0)
        {
            var value = Get(name);
            if (value is long && (long)value >= 0) return (ulong)(long)value;
            if (value is ulong) return (ulong)value;
            if (value is double && (double)value >= 0 && (double)value <= 9007199254740992.0) return (ulong)(double)value;
            return absent;
        }

        public double Number(string name, double absent = 0)
        {
            var value = Get(name);
            return value is double || value is long || value is ulong ? Convert.ToDouble(value) : absent;
        }

        public bool Flag(string name)
        {
            var value = Get(name);
            return value is bool && (bool)value;
        }

        public Map Child(string name)
        {
            return Get(name) as Map ?? new Map();
        }

        public List<object> List(string name)
        {
            return Get(name) as List<object> ?? new List<object>();
        }

        public static string AsText(object value)
        {
            if (value is string) return (string)value;
            if (!(value is byte[])) return null;
            var bytes = (byte[])value;
            return MsgPackReader.DecodeText(bytes, 0, bytes.Length);
        }
    }
}
