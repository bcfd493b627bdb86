using System.Collections.Generic;

namespace TexBridge
{
    /// <summary>One value of a parameter. Numbers, bools, text and pictures turn into one by themselves; vectors and colours
    /// are made by `Numbers`. Source: protocols/engine-link.md, Values.</summary>
    public struct ParameterValue
    {
        enum Kind : byte { Nothing, Bool, Integer, Unsigned, Number, Text, Numbers, Picture }

        Kind kind;
        byte count;
        long integer;
        double a, b, c, d;
        object reference;

        public bool IsPicture { get { return kind == Kind.Picture; } }

        public static implicit operator ParameterValue(bool value)
        {
            return new ParameterValue { kind = Kind.Bool, integer = value ? 1 : 0 };
        }

        public static implicit operator ParameterValue(int value)
        {
            return new ParameterValue { kind = Kind.Integer, integer = value };
        }

        public static implicit operator ParameterValue(long value)
        {
            return new ParameterValue { kind = Kind.Integer, integer = value };
        }

        public static implicit operator ParameterValue(ulong value)
        {
            return new ParameterValue { kind = Kind.Unsigned, integer = unchecked((long)value) };
        }

        public static implicit operator ParameterValue(float value)
        {
            return new ParameterValue { kind = Kind.Number, a = value };
        }

        public static implicit operator ParameterValue(double value)
        {
            return new ParameterValue { kind = Kind.Number, a = value };
        }

        public static implicit operator ParameterValue(string value)
        {
            return new ParameterValue { kind = Kind.Text, reference = value };
        }

        public static implicit operator ParameterValue(PictureValue value)
        {
            return new ParameterValue { kind = Kind.Picture, reference = value };
        }

        public static ParameterValue Numbers(double x, double y)
        {
            return new ParameterValue { kind = Kind.Numbers, count = 2, a = x, b = y };
        }

        /// <summary>A vec3, or a colour: red, green and blue 0..1, sRGB-encoded as people see them.</summary>
        public static ParameterValue Numbers(double x, double y, double z)
        {
            return new ParameterValue { kind = Kind.Numbers, count = 3, a = x, b = y, c = z };
        }

        /// <summary>A vec4, or a colour with alpha.</summary>
        public static ParameterValue Numbers(double x, double y, double z, double w)
        {
            return new ParameterValue { kind = Kind.Numbers, count = 4, a = x, b = y, c = z, d = w };
        }

        public bool Equals(ParameterValue other)
        {
            return kind == other.kind && count == other.count && integer == other.integer && a == other.a
                && b == other.b && c == other.c && d == other.d && Equals(reference, other.reference);
        }

        public void Write(MsgPackWriter writer)
        {
            switch (kind)
            {
                case Kind.Bool: writer.Bool(integer != 0); break;
                case Kind.Integer: writer.Integer(integer); break;
                case Kind.Unsigned: writer.Unsigned(unchecked((ulong)integer)); break;
                case Kind.Number: writer.Number(a); break;
                case Kind.Text: writer.Text((string)reference); break;
                case Kind.Picture: ((PictureValue)reference).Write(writer); break;
                case Kind.Numbers:
                    writer.BeginArray(count);
                    writer.Number(a);
                    writer.Number(b);
                    if (count > 2) writer.Number(c);
                    if (count > 3) writer.Number(d);
                    break;
                default: writer.Nil(); break;
            }
        }
    }

    /// <summary>A picture for an image parameter: raw pixels, a PNG, JPEG or WebP file, or a slot of the engine's own shared
    /// memory. The bytes are read when the message is written, so the arrays may be used again afterwards.
    /// Source: protocols/engine-link.md, image.</summary>
    public sealed class PictureValue
    {
        public byte[] Data;
        public int Offset;
        public int Count;
        public int Width;
        public int Height;
        public PixelFormat Format;
        public bool BottomLeft;
        public bool Encoded;
        public bool InSlot;
        public uint Slot;
        public ulong Seq;

        public static PictureValue File(byte[] data)
        {
            return new PictureValue { Data = data, Count = data.Length, Encoded = true };
        }

        public static PictureValue Pixels(byte[] data, int width, int height, PixelFormat format, bool bottomLeft)
        {
            var count = (int)PixelFormats.PayloadBytes(format, (uint)width, (uint)height, 1);
            return new PictureValue
            {
                Data = data, Count = count, Width = width, Height = height, Format = format, BottomLeft = bottomLeft,
            };
        }

        public void Write(MsgPackWriter writer)
        {
            writer.BeginMap();
            if (InSlot)
            {
                writer.Field("slot", Slot);
                writer.Field("seq", Seq);
            }
            else if (Encoded)
            {
                writer.Key("encoded");
                writer.Binary(Data, Offset, Count);
            }
            else
            {
                writer.Field("width", (ulong)Width);
                writer.Field("height", (ulong)Height);
                writer.Field("format", PixelFormats.Name(Format));
                writer.Field("origin", BottomLeft ? "bottom_left" : "top_left");
                writer.Key("data");
                writer.Binary(Data, Offset, Count);
            }
            writer.EndMap();
        }
    }

    /// <summary>Values by parameter name, made once and used again.</summary>
    public sealed class ParameterSet
    {
        struct Entry
        {
            public string Name;
            public ParameterValue Value;
        }

        readonly List<Entry> entries = new List<Entry>();

        public int Count { get { return entries.Count; } }

        public void Clear()
        {
            entries.Clear();
        }

        /// <summary>Set one value; gives the set itself, so that calls can be chained.</summary>
        public ParameterSet Set(string name, ParameterValue value)
        {
            var entry = new Entry { Name = name, Value = value };
            for (var place = 0; place < entries.Count; place++)
            {
                if (entries[place].Name != name) continue;
                entries[place] = entry;
                return this;
            }
            entries.Add(entry);
            return this;
        }

        /// <summary>Take all values of another set over, but pictures: their arrays may be used again by their owner.</summary>
        public void Merge(ParameterSet other)
        {
            if (other == null) return;
            for (var place = 0; place < other.entries.Count; place++)
                if (!other.entries[place].Value.IsPicture) Set(other.entries[place].Name, other.entries[place].Value);
        }

        public void Write(MsgPackWriter writer)
        {
            writer.BeginMap();
            for (var place = 0; place < entries.Count; place++)
            {
                writer.Key(entries[place].Name);
                entries[place].Value.Write(writer);
            }
            writer.EndMap();
        }
    }
}
