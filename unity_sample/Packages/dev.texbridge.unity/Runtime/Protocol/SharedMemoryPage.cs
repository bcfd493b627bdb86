namespace TexBridge
{
    /// <summary>The first page of a shared memory file, and where its slots are. Source: protocols/shared-memory.md.</summary>
    public struct SharedMemoryPage
    {
        public const int Bytes = 4096;
        public const int FieldBytes = 40;
        public const int SlotHeaderBytes = 128;
        const uint Magic = 0x53425854; // "TXBS"

        public ushort Version;
        public uint Slots;
        public uint Stride;
        public uint Capacity;
        public uint Generation;
        public ulong Nonce;
        public ulong Pid;

        /// <summary>Read the page's fields. `fileBytes` is how long the file is.</summary>
        /// <exception cref="ProtocolException">103: it is no such file, or one that contradicts itself.</exception>
        public static SharedMemoryPage Read(byte[] data, int count, long fileBytes)
        {
            if (count < FieldBytes) throw Bad("the page is cut short");
            if (LittleEndian.U32(data, 0) != Magic) throw Bad("the magic is not TXBS");
            SharedMemoryPage page;
            page.Version = LittleEndian.U16(data, 4);
            page.Slots = LittleEndian.U32(data, 8);
            page.Stride = LittleEndian.U32(data, 12);
            page.Capacity = LittleEndian.U32(data, 16);
            page.Generation = LittleEndian.U32(data, 20);
            page.Nonce = LittleEndian.U64(data, 24);
            page.Pid = LittleEndian.U64(data, 32);
            if (page.Version != 1) throw Bad("version " + page.Version + " of the layout");
            if (page.Slots < 4) throw Bad("slots " + page.Slots + " < 4");
            if (page.Stride == 0 || page.Stride % 4096 != 0) throw Bad("slot_stride " + page.Stride);
            if (page.Capacity == 0 || page.Capacity > page.Stride - SlotHeaderBytes)
                throw Bad("capacity " + page.Capacity + " in slots of " + page.Stride);
            // Both factors are u32, so this can't overflow 64 bits.
            if ((ulong)page.Slots * page.Stride + Bytes > (ulong)fileBytes) throw Bad("the file is too short");
            return page;
        }

        /// <summary>Where a doorbell's slot begins, in bytes from the file's beginning.</summary>
        /// <exception cref="ProtocolException">103: it points outside, or at a slot that is being written.</exception>
        public long SlotAt(ref FrameHeader doorbell)
        {
            if (doorbell.Slot >= Slots) throw Bad("slot " + doorbell.Slot + " of " + Slots);
            if (doorbell.PayloadBytes > Capacity)
                throw Bad("payload_bytes " + doorbell.PayloadBytes + " > capacity " + Capacity);
            if (doorbell.Seq % 2 != 0) throw Bad("seq " + doorbell.Seq + " is odd");
            return Bytes + (long)doorbell.Slot * Stride;
        }

        static ProtocolException Bad(string text)
        {
            return new ProtocolException(ProtocolException.BadFrame, text, "bad_frame");
        }
    }
}
