using System;

namespace TexBridge
{
    /// <summary>Puts together messages that come in parts, in one buffer that is used again.
    /// Source: protocols/frame.md, Parts.</summary>
    public sealed class PartAssembler
    {
        public const uint Magic = 0x50425854; // "TXBP"
        public const int HeaderBytes = 32;

        readonly int largest;
        bool begun;
        uint message;
        uint next;
        uint parts;
        uint partBytes;
        uint total;
        uint filled;

        /// <summary>After `Feed` gave true: the whole message, `Count` bytes long. Whoever wants to keep the bytes
        /// puts another array here.</summary>
        public byte[] Whole = new byte[0];

        public int Count { get; private set; }

        public PartAssembler(int largestMessage)
        {
            largest = largestMessage;
        }

        public static bool IsPart(byte[] data, int offset, int count)
        {
            return count >= 4 && LittleEndian.U32(data, offset) == Magic;
        }

        /// <summary>Forget a message that was begun: the connection is another one.</summary>
        public void Reset()
        {
            begun = false;
        }

        /// <summary>Take one part; true when it made its message whole.</summary>
        /// <exception cref="ProtocolException">104 or 105, both fatal.</exception>
        public bool Feed(byte[] data, int offset, int count)
        {
            if (count < HeaderBytes || !IsPart(data, offset, count)) throw Bad("a part is shorter than its header");
            var header = LittleEndian.U16(data, offset + 4);
            if (header < HeaderBytes || header >= count) throw Bad("header_bytes " + header + " of " + count);
            var bytes = (uint)(count - header);
            var ownMessage = LittleEndian.U32(data, offset + 8);
            var part = LittleEndian.U32(data, offset + 12);
            var ownParts = LittleEndian.U32(data, offset + 16);
            var place = LittleEndian.U32(data, offset + 20);
            var ownTotal = LittleEndian.U32(data, offset + 24);
            if (!begun)
            {
                if (part != 0 || ownParts == 0 || ownTotal == 0) throw Bad("a message begins with part 0");
                if (ownTotal > largest)
                    throw new ProtocolException(ProtocolException.MessageTooLarge,
                        "a message of " + ownTotal + " bytes in parts is over " + largest, "message_too_large");
                begun = true;
                message = ownMessage;
                next = 0;
                parts = ownParts;
                partBytes = bytes;
                total = ownTotal;
                filled = 0;
                if (Whole.Length < total) Whole = new byte[total];
            }
            if (ownMessage != message || part != next || ownParts != parts || ownTotal != total || place != filled)
                throw Bad("part " + part + " does not follow part " + next + " of message " + message);
            var last = part == parts - 1;
            if (bytes > partBytes || (!last && bytes != partBytes) || bytes > total - filled)
                throw Bad("a part of " + bytes + " bytes, the first had " + partBytes);
            if (last ? filled + bytes != total : filled + bytes >= total)
                throw Bad("the parts don't make up the total of " + total);
            Buffer.BlockCopy(data, offset + header, Whole, (int)filled, (int)bytes);
            filled += bytes;
            next++;
            if (!last) return false;
            begun = false;
            Count = (int)total;
            return true;
        }

        static ProtocolException Bad(string text)
        {
            return new ProtocolException(ProtocolException.BadPart, text, "bad_part");
        }
    }
}
