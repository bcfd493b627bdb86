using System;

namespace TexBridge
{
    /// <summary>RFC 6455 as far as a client of the engine link needs it, without a socket: headers of frames in and out. No
    /// extensions, so the three reserved bits are 0.</summary>
    public static class WebSocketFrames
    {
        public const int Continuation = 0, Text = 1, Binary = 2, Close = 8, Ping = 9, Pong = 10;

        /// <summary>The most that a frame of ours has before its payload: 2 + 8 for the length + 4 for the mask.</summary>
        public const int MostHeaderBytes = 14;

        /// <summary>Write the header of a masked, final frame, and mask the payload in place. `data` has room for the header
        /// at `offset`, and the payload right behind it, at `offset + HeaderBytes(count)`. Gives all bytes together.</summary>
        public static int Write(byte[] data, int offset, int opcode, int count, uint mask)
        {
            data[offset] = (byte)(0x80 | opcode);
            var at = offset + 2;
            if (count < 126) data[offset + 1] = (byte)(0x80 | count);
            else if (count <= 0xffff)
            {
                data[offset + 1] = 0x80 | 126;
                data[at++] = (byte)(count >> 8);
                data[at++] = (byte)count;
            }
            else
            {
                data[offset + 1] = 0x80 | 127;
                for (var shift = 56; shift >= 0; shift -= 8) data[at++] = (byte)((ulong)count >> shift);
            }
            LittleEndian.Put32(data, at, mask);
            at += 4;
            for (var place = 0; place < count; place++) data[at + place] ^= (byte)(mask >> (place % 4 * 8));
            return at + count - offset;
        }

        public static int HeaderBytes(int count)
        {
            return count < 126 ? 6 : count <= 0xffff ? 8 : 14;
        }
    }

    /// <summary>The header of a frame that came. Feed it byte by byte; 2 to 10 of them.</summary>
    public struct WebSocketHeader
    {
        int filled;
        ulong length;

        public bool IsFinal { get; private set; }
        public int Opcode { get; private set; }
        public long Count { get { return (long)length; } }

        /// <summary>True when this was its last byte.</summary>
        /// <exception cref="ProtocolException">102: a bridge sends no such frame.</exception>
        public bool Feed(byte value)
        {
            filled++;
            if (filled == 1)
            {
                IsFinal = (value & 0x80) != 0;
                Opcode = value & 0x0f;
                if ((value & 0x70) != 0) throw Bad("reserved bits are set");
                if (Opcode > 2 && (Opcode < 8 || Opcode > 10)) throw Bad("opcode " + Opcode);
                if (Opcode >= 8 && !IsFinal) throw Bad("a control frame in fragments");
                return false;
            }
            if (filled == 2)
            {
                if ((value & 0x80) != 0) throw Bad("a server masks nothing");
                length = value;
                if (Opcode >= 8 && length > 125) throw Bad("a control frame of " + length + " bytes or more");
                if (length < 126) return true;
                more = length == 126 ? 2 : 8;
                length = 0;
                return false;
            }
            length = length << 8 | value;
            if (--more > 0) return false;
            if (length > long.MaxValue) throw Bad("a length of 2^63 or more");
            return true;
        }

        int more;

        static ProtocolException Bad(string text)
        {
            return new ProtocolException(ProtocolException.NotMsgPack, "WebSocket: " + text, "not_msgpack");
        }
    }
}
