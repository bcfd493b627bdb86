namespace TexBridge
{
    /// <summary>Cuts a TCP stream into messages, each after its u32 little-endian length, without a copy: it says where
    /// the next bytes belong, and a message's bytes come straight into the buffer that it is read from.</summary>
    public sealed class LengthDecoder
    {
        readonly int largest;
        readonly byte[] head = new byte[4];
        int headFilled;
        int filled;
        bool inBody;

        /// <summary>The message's buffer. When `Received` gave true, whoever wants to keep the bytes puts another
        /// array here.</summary>
        public byte[] Body = new byte[0];

        /// <summary>Bytes of the message in `Body`.</summary>
        public int Count { get; private set; }

        public LengthDecoder(int largestMessage)
        {
            largest = largestMessage;
        }

        /// <summary>Bytes that came and don't make a message yet, the length's own included.</summary>
        public int Waiting { get { return inBody ? 4 + filled : headFilled; } }

        public byte[] Target { get { return inBody ? Body : head; } }
        public int TargetOffset { get { return inBody ? filled : headFilled; } }

        /// <summary>How many bytes may be received into `Target` at `TargetOffset`; 1 or more.</summary>
        public int TargetCount { get { return inBody ? Count - filled : 4 - headFilled; } }

        /// <summary>So many bytes were received into the target; true when they complete a message.</summary>
        /// <exception cref="ProtocolException">111 or 105, both fatal.</exception>
        public bool Received(int bytes)
        {
            if (inBody)
            {
                filled += bytes;
                if (filled < Count) return false;
                inBody = false;
                headFilled = 0;
                return true;
            }
            headFilled += bytes;
            if (headFilled < 4) return false;
            var length = LittleEndian.U32(head, 0);
            if (length == 0) throw new ProtocolException(ProtocolException.BadLength, "a length of 0", "bad_length");
            if (length > largest)
                throw new ProtocolException(ProtocolException.MessageTooLarge,
                    "a message of " + length + " bytes is over " + largest + "; is this the bridge's TCP port?",
                    "message_too_large");
            Count = (int)length;
            if (Body == null || Body.Length < Count) Body = new byte[Count];
            filled = 0;
            inBody = true;
            return false;
        }
    }
}
