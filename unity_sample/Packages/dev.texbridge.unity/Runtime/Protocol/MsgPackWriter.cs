using System;
using System.Collections;
using System.Collections.Generic;
using System.Text;

namespace TexBridge
{
    /// <summary>Writes msgpack into a buffer that is used again: no allocation once it is large enough.</summary>
    public sealed class MsgPackWriter
    {
        const int MaxDepth = 16;

        readonly int[] begins = new int[MaxDepth];
        readonly int[] counts = new int[MaxDepth];
        int depth;

        public byte[] Bytes = new byte[1024];

        public int Count { get; private set; }

        public void Clear()
        {
            Count = 0;
            depth = 0;
        }

        public byte[] ToArray()
        {
            var copy = new byte[Count];
            Buffer.BlockCopy(Bytes, 0, copy, 0, Count);
            return copy;
        }

        /// <summary>Begin a map; its fields are counted, and `EndMap` writes their number.</summary>
        public void BeginMap()
        {
            begins[depth] = Count;
            counts[depth] = 0;
            depth++;
            Put(0x80);
        }

        public void EndMap()
        {
            depth--;
            var at = begins[depth];
            var fields = counts[depth];
            if (fields <= 15)
            {
                Bytes[at] = (byte)(0x80 | fields);
                return;
            }
            Reserve(2);
            Buffer.BlockCopy(Bytes, at + 1, Bytes, at + 3, Count - at - 1);
            Count += 2;
            Bytes[at] = 0xde;
            Bytes[at + 1] = (byte)(fields >> 8);
            Bytes[at + 2] = (byte)fields;
        }

        /// <summary>The name of the next field of the map that was begun last.</summary>
        public void Key(string name)
        {
            counts[depth - 1]++;
            Text(name);
        }

        public void Field(string name, string value)
        {
            Key(name);
            Text(value);
        }

        public void Field(string name, ulong value)
        {
            Key(name);
            Unsigned(value);
        }

        public void Field(string name, double value)
        {
            Key(name);
            Number(value);
        }

        public void Field(string name, bool value)
        {
            Key(name);
            Bool(value);
        }

        public void BeginArray(int count)
        {
            Length(count, 0x90, 15, 0, 0xdc, 0xdd);
        }

        public void Nil()
        {
            Put(0xc0);
        }

        public void Bool(bool value)
        {
            Put(value ? (byte)0xc3 : (byte)0xc2);
        }

        public void Unsigned(ulong value)
        {
            if (value < 0x80) Put((byte)value);
            else if (value <= 0xff) Big(0xcc, value, 1);
            else if (value <= 0xffff) Big(0xcd, value, 2);
            else if (value <= 0xffffffff) Big(0xce, value, 4);
            else Big(0xcf, value, 8);
        }

        public void Integer(long value)
        {
            if (value >= 0) Unsigned((ulong)value);
            else if (value >= -32) Put((byte)value);
            else if (value >= sbyte.MinValue) Big(0xd0, (ulong)value, 1);
            else if (value >= short.MinValue) Big(0xd1, (ulong)value, 2);
            else if (value >= int.MinValue) Big(0xd2, (ulong)value, 4);
            else Big(0xd3, (ulong)value, 8);
        }

        public void Number(double value)
        {
            Big(0xcb, (ulong)BitConverter.DoubleToInt64Bits(value), 8);
        }

        public void Text(string value)
        {
            var bytes = Encoding.UTF8.GetByteCount(value);
            Length(bytes, 0xa0, 31, 0xd9, 0xda, 0xdb);
            Reserve(bytes);
            Encoding.UTF8.GetBytes(value, 0, value.Length, Bytes, Count);
            Count += bytes;
        }

        public void Binary(byte[] data, int offset, int count)
        {
            Length(count, 0, -1, 0xc4, 0xc5, 0xc6);
            Reserve(count);
            Buffer.BlockCopy(data, offset, Bytes, Count, count);
            Count += count;
        }

        /// <summary>Write what a `MsgPackReader` gives: null, bool, whole numbers, double, string, byte[], lists and
        /// maps of these.</summary>
        /// <exception cref="ArgumentException">Anything else.</exception>
        public void Any(object value)
        {
            if (value == null) Nil();
            else if (value is bool) Bool((bool)value);
            else if (value is ulong) Unsigned((ulong)value);
            else if (value is long || value is int || value is uint || value is byte) Integer(Convert.ToInt64(value));
            else if (value is double || value is float) Number(Convert.ToDouble(value));
            else if (value is string) Text((string)value);
            else if (value is byte[]) Binary((byte[])value, 0, ((byte[])value).Length);
            else if (value is Map)
            {
                BeginMap();
                foreach (var pair in (Map)value)
                {
                    Key(pair.Key);
                    Any(pair.Value);
                }
                EndMap();
            }
            else if (value is IList)
            {
                BeginArray(((IList)value).Count);
                foreach (var item in (IList)value) Any(item);
            }
            else throw new ArgumentException("msgpack: no place for a " + value.GetType());
        }

        void Length(int length, int fix, int fixMost, byte one, byte two, byte four)
        {
            if (length <= fixMost) Put((byte)(fix | length));
            else if (one != 0 && length <= 0xff) Big(one, (ulong)length, 1);
            else if (length <= 0xffff) Big(two, (ulong)length, 2);
            else Big(four, (ulong)length, 4);
        }

        void Big(byte type, ulong value, int bytes)
        {
            Reserve(1 + bytes);
            Bytes[Count++] = type;
            for (var shift = (bytes - 1) * 8; shift >= 0; shift -= 8) Bytes[Count++] = (byte)(value >> shift);
        }

        void Put(byte value)
        {
            Reserve(1);
            Bytes[Count++] = value;
        }

        void Reserve(int more)
        {
            if (Count + more > Bytes.Length) Array.Resize(ref Bytes, Math.Max(Bytes.Length * 2, Count + more));
        }
    }
}
