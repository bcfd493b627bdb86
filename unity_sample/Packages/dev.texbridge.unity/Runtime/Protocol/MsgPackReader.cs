using System;
using System.Collections.Generic;
using System.Text;

namespace TexBridge
{
    /// <summary>Reads one msgpack map, with the limits of the contract: 16 levels, 65,536 keys, values and items, each key
    /// once. Source: protocols/engine-link.md, What counts as msgpack.</summary>
    public sealed class MsgPackReader
    {
        const int MaxDepth = 16;
        const int MaxNodes = 65536;

        static readonly UTF8Encoding StrictText = new UTF8Encoding(false, true);

        byte[] data;
        int at;
        int end;
        int nodes;

        /// <summary>Read a whole message.</summary>
        /// <exception cref="ProtocolException">102, 106 or 107.</exception>
        public Map ReadMessage(byte[] bytes, int offset, int count)
        {
            data = bytes;
            at = offset;
            end = offset + count;
            nodes = 0;
            if (count == 0) throw NotMsgPack("an empty message");
            var first = data[at];
            if (!((first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf))
                throw NotMsgPack("a message that begins with byte 0x" + first.ToString("x2") + " is no map");
            var map = (Map)Value(0);
            if (at != end) throw Bad((end - at) + " bytes follow the map");
            return map;
        }

        /// <summary>UTF-8 as text.</summary>
        /// <exception cref="ProtocolException">107: it is none.</exception>
        public static string DecodeText(byte[] bytes, int offset, int count)
        {
            try
            {
                return StrictText.GetString(bytes, offset, count);
            }
            catch (ArgumentException)
            {
                throw Bad("text that is not UTF-8");
            }
        }

        object Value(int depth)
        {
            if (++nodes > MaxNodes + 1) throw TooComplex("more than 65,536 keys, values and items");
            var type = (byte)Big(1);
            if (type < 0x80) return (long)type;
            if (type >= 0xe0) return (long)(sbyte)type;
            if (type <= 0x8f) return ReadMap(type & 0x0f, depth + 1);
            if (type <= 0x9f) return ReadList(type & 0x0f, depth + 1);
            if (type <= 0xbf) return ReadText(type & 0x1f);
            switch (type)
            {
                case 0xc0: return null;
                case 0xc2: return false;
                case 0xc3: return true;
                case 0xc4: return ReadBinary(Big(1));
                case 0xc5: return ReadBinary(Big(2));
                case 0xc6: return ReadBinary(Big(4));
                case 0xca: return ReadSingle();
                case 0xcb: return BitConverter.Int64BitsToDouble((long)Big(8));
                case 0xcc: return (long)Big(1);
                case 0xcd: return (long)Big(2);
                case 0xce: return (long)Big(4);
                case 0xcf: return ReadUnsigned();
                case 0xd0: return (long)(sbyte)Big(1);
                case 0xd1: return (long)(short)Big(2);
                case 0xd2: return (long)(int)Big(4);
                case 0xd3: return (long)Big(8);
                case 0xd9: return ReadText(Big(1));
                case 0xda: return ReadText(Big(2));
                case 0xdb: return ReadText(Big(4));
                case 0xdc: return ReadList(Big(2), depth + 1);
                case 0xdd: return ReadList(Big(4), depth + 1);
                case 0xde: return ReadMap(Big(2), depth + 1);
                case 0xdf: return ReadMap(Big(4), depth + 1);
                case 0xc1: throw NotMsgPack("byte 0xc1 is never used");
                default: throw Bad("extension types have no meaning here");
            }
        }

        object ReadUnsigned()
        {
            var value = Big(8);
            if (value <= long.MaxValue) return (long)value;
            return value;
        }

        object ReadSingle()
        {
            var bits = (int)Big(4);
            return (double)BitConverter.ToSingle(BitConverter.GetBytes(bits), 0);
        }

        string ReadText(ulong count)
        {
            var begin = Take(count);
            return DecodeText(data, begin, (int)count);
        }

        string ReadText(int count)
        {
            return ReadText((ulong)count);
        }

        byte[] ReadBinary(ulong count)
        {
            var begin = Take(count);
            var copy = new byte[count];
            Buffer.BlockCopy(data, begin, copy, 0, (int)count);
            return copy;
        }

        List<object> ReadList(ulong count, int depth)
        {
            CheckRoom(count, depth);
            var list = new List<object>((int)count);
            for (ulong item = 0; item < count; item++) list.Add(Value(depth));
            return list;
        }

        List<object> ReadList(int count, int depth)
        {
            return ReadList((ulong)count, depth);
        }

        Map ReadMap(ulong count, int depth)
        {
            CheckRoom(count * 2, depth);
            var map = new Map();
            for (ulong field = 0; field < count; field++)
            {
                var key = Map.AsText(Value(depth));
                if (key == null) throw Bad("a key that is no text");
                if (map.ContainsKey(key)) throw TooComplex("the key " + key + " twice");
                map.Add(key, Value(depth));
            }
            return map;
        }

        Map ReadMap(int count, int depth)
        {
            return ReadMap((ulong)count, depth);
        }

        // A list of four thousand million items would need as many bytes: nothing is reserved for a lie.
        void CheckRoom(ulong items, int depth)
        {
            if (depth > MaxDepth) throw TooComplex("more than 16 levels of maps and lists");
            if (items > MaxNodes) throw TooComplex("more than 65,536 keys, values and items");
            if (items > (ulong)(end - at)) throw NotMsgPack("the message ends early");
        }

        int Take(ulong count)
        {
            if (count > (ulong)(end - at)) throw NotMsgPack("the message ends early");
            var begin = at;
            at += (int)count;
            return begin;
        }

        ulong Big(int count)
        {
            var begin = Take((ulong)count);
            ulong value = 0;
            for (var place = 0; place < count; place++) value = value << 8 | data[begin + place];
            return value;
        }

        static ProtocolException NotMsgPack(string text)
        {
            return new ProtocolException(ProtocolException.NotMsgPack, text, "not_msgpack");
        }

        static ProtocolException TooComplex(string text)
        {
            return new ProtocolException(ProtocolException.MessageTooComplex, text, "message_too_complex");
        }

        static ProtocolException Bad(string text)
        {
            return new ProtocolException(ProtocolException.BadMessage, text, "bad_message");
        }
    }
}
