using System;

namespace TexBridge
{
    /// <summary>One texture: header, and where its bytes are. Valid until the next set is taken from the stream.</summary>
    public sealed class Frame
    {
        public FrameHeader Header;
        public byte[] Bytes = new byte[0];
        public int PayloadOffset;

        public int PayloadBytes { get { return (int)Header.PayloadBytes; } }

        /// <summary>A copy of the payload alone.</summary>
        public byte[] ToArray()
        {
            var copy = new byte[PayloadBytes];
            Buffer.BlockCopy(Bytes, PayloadOffset, copy, 0, copy.Length);
            return copy;
        }
    }

    /// <summary>The frames of all outputs of one result. Its buffers are used again: it is valid until the next one is
    /// taken from the stream.</summary>
    public sealed class FrameSet
    {
        Frame[] frames = { new Frame() };

        public int Count { get; private set; }

        /// <summary>+1 per set that the stream releases; 0 for a placeholder.</summary>
        public uint Number { get; private set; }

        /// <summary>The request it was made for; 0 for none.</summary>
        public ulong Request { get; private set; }

        /// <summary>Place within the request.</summary>
        public uint Index { get; private set; }

        public ushort Flags { get; private set; }

        public bool IsHeld { get { return (Flags & FrameHeader.HeldFlag) != 0; } }
        public bool IsPreview { get { return (Flags & FrameHeader.PreviewFlag) != 0; } }
        public bool IsLastSet { get { return (Flags & FrameHeader.LastSetFlag) != 0; } }

        internal bool IsTorn { get; private set; }

        /// <summary>Of its number: see FrameStream.</summary>
        internal int Generation, Epoch;

        public Frame this[int place]
        {
            get
            {
                if (place < 0 || place >= Count) throw new ArgumentOutOfRangeException("place");
                return frames[place];
            }
        }

        /// <summary>The frame of an output, or null if it isn't in this set.</summary>
        public Frame OfOutput(int output)
        {
            for (var place = 0; place < Count; place++)
                if (frames[place].Header.Output == output) return frames[place];
            return null;
        }

        internal void Clear()
        {
            Count = 0;
            IsTorn = false;
        }

        internal void Tear()
        {
            IsTorn = true;
        }

        // The place for the next frame. One that belongs to another set means that ours was broken off: blackout and
        // panic do that.
        internal Frame Add(ref FrameHeader header)
        {
            const ushort kind = FrameHeader.HeldFlag | FrameHeader.PreviewFlag;
            var same = header.Number == Number && header.Request == Request && header.Index == Index
                && (header.Flags & kind) == (Flags & kind);
            if (!same || OfOutput(header.Output) != null) Clear();
            Number = header.Number;
            Request = header.Request;
            Index = header.Index;
            Flags = header.Flags;
            if (Count == frames.Length)
            {
                Array.Resize(ref frames, Count + 1);
                frames[Count] = new Frame();
            }
            var frame = frames[Count++];
            frame.Header = header;
            return frame;
        }
    }
}
