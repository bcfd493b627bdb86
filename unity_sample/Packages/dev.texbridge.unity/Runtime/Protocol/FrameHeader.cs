namespace TexBridge
{
    /// <summary>The header of one texture, or of a doorbell. Source: protocols/frame.md.</summary>
    public struct FrameHeader
    {
        public const int Bytes = 64;
        public const int DoorbellBytes = 80;
        public const uint Magic = 0x31425854; // "TXB1"

        public const ushort PreviewFlag = 1;
        public const ushort LastSetFlag = 2;
        public const ushort HeldFlag = 4;
        public const ushort BottomLeftFlag = 8;
        public const ushort LinearFlag = 16;
        public const ushort PremultipliedFlag = 32;
        public const ushort LastOfSetFlag = 64;
        public const ushort SharedMemoryFlag = 128;

        public int HeaderBytes;
        public ushort Flags;
        public uint Stream;
        public uint Number;
        public ulong Request;
        public uint Index;
        public byte Output;
        public byte Mips;
        public ushort Format;
        public uint Width;
        public uint Height;
        public uint RowPitch;
        public uint PayloadBytes;
        public ulong ClientTime;
        public uint ComfyMicroseconds;
        public uint BridgeMicroseconds;

        /// <summary>Doorbells only: which slot of the file.</summary>
        public uint Slot;

        /// <summary>Doorbells only: what the slot's own `seq` must be.</summary>
        public ulong Seq;

        public PixelFormat PixelFormat { get { return (PixelFormat)Format; } }
        public bool IsPreview { get { return (Flags & PreviewFlag) != 0; } }
        public bool IsLastSet { get { return (Flags & LastSetFlag) != 0; } }
        public bool IsHeld { get { return (Flags & HeldFlag) != 0; } }
        public bool IsBottomLeft { get { return (Flags & BottomLeftFlag) != 0; } }
        public bool IsLinear { get { return (Flags & LinearFlag) != 0; } }
        public bool IsLastOfSet { get { return (Flags & LastOfSetFlag) != 0; } }
        public bool IsDoorbell { get { return (Flags & SharedMemoryFlag) != 0; } }

        /// <summary>Read a whole message that is a frame or a doorbell.</summary>
        /// <exception cref="ProtocolException">103: it is cut short or contradicts itself.</exception>
        public static FrameHeader Read(byte[] data, int offset, int count)
        {
            if (count < Bytes) throw Bad("a frame of " + count + " bytes is shorter than its header");
            var header = ReadFields(data, offset);
            var least = header.IsDoorbell ? DoorbellBytes : Bytes;
            if (header.HeaderBytes < least || header.HeaderBytes % 16 != 0 || header.HeaderBytes > count)
                throw Bad("header_bytes " + header.HeaderBytes + " is under " + least + ", no multiple of 16 or over "
                    + count);
            var follows = header.IsDoorbell ? 0 : header.PayloadBytes;
            if ((uint)(count - header.HeaderBytes) != follows)
                throw Bad((count - header.HeaderBytes) + " bytes follow the header, and should be " + follows);
            if (header.IsDoorbell)
            {
                header.Slot = LittleEndian.U32(data, offset + 64);
                header.Seq = LittleEndian.U64(data, offset + 72);
            }
            header.CheckGeometry();
            return header;
        }

        /// <summary>Read the 64 bytes alone, as in a slot of shared memory; sizes are not checked.</summary>
        /// <exception cref="ProtocolException">103: another magic.</exception>
        public static FrameHeader ReadFields(byte[] data, int offset)
        {
            if (LittleEndian.U32(data, offset) != Magic) throw Bad("the magic is not TXB1");
            FrameHeader header;
            header.HeaderBytes = LittleEndian.U16(data, offset + 4);
            header.Flags = LittleEndian.U16(data, offset + 6);
            header.Stream = LittleEndian.U32(data, offset + 8);
            header.Number = LittleEndian.U32(data, offset + 12);
            header.Request = LittleEndian.U64(data, offset + 16);
            header.Index = LittleEndian.U32(data, offset + 24);
            header.Output = data[offset + 28];
            header.Mips = data[offset + 29];
            header.Format = LittleEndian.U16(data, offset + 30);
            header.Width = LittleEndian.U32(data, offset + 32);
            header.Height = LittleEndian.U32(data, offset + 36);
            header.RowPitch = LittleEndian.U32(data, offset + 40);
            header.PayloadBytes = LittleEndian.U32(data, offset + 44);
            header.ClientTime = LittleEndian.U64(data, offset + 48);
            header.ComfyMicroseconds = LittleEndian.U32(data, offset + 56);
            header.BridgeMicroseconds = LittleEndian.U32(data, offset + 60);
            header.Slot = 0;
            header.Seq = 0;
            return header;
        }

        /// <summary>Check sizes, and for a known format the pitch and the bytes.</summary>
        /// <exception cref="ProtocolException">103: they contradict each other.</exception>
        public void CheckGeometry()
        {
            if (Width == 0 || Height == 0 || Mips == 0)
                throw Bad("width " + Width + ", height " + Height + ", mips " + Mips + ": each is 1 or more");
            if (Mips > PixelFormats.Levels(Width, Height)) throw Bad("more mip levels than lead down to 1x1: " + Mips);
            var format = PixelFormat;
            if (PixelFormats.IsEncoded(format))
            {
                if (RowPitch != 0 || Mips != 1 || IsBottomLeft || PayloadBytes == 0)
                    throw Bad("an encoded picture has row_pitch 0, one mip, its uppermost row first, and bytes");
                return;
            }
            if (PixelFormats.RowBytes(format, Width) == 0) return; // a format of a later version: nothing to check by
            if (RowPitch != PixelFormats.RowBytes(format, Width))
                throw Bad("row_pitch " + RowPitch + " is not " + PixelFormats.RowBytes(format, Width));
            if (PayloadBytes != PixelFormats.PayloadBytes(format, Width, Height, Mips))
                throw Bad("payload_bytes " + PayloadBytes + " is not "
                    + PixelFormats.PayloadBytes(format, Width, Height, Mips));
        }

        /// <summary>Write the 64 bytes, or the 80 of a doorbell; HeaderBytes says which.</summary>
        public void Write(byte[] data, int offset)
        {
            LittleEndian.Put32(data, offset, Magic);
            LittleEndian.Put16(data, offset + 4, (uint)HeaderBytes);
            LittleEndian.Put16(data, offset + 6, Flags);
            LittleEndian.Put32(data, offset + 8, Stream);
            LittleEndian.Put32(data, offset + 12, Number);
            LittleEndian.Put64(data, offset + 16, Request);
            LittleEndian.Put32(data, offset + 24, Index);
            data[offset + 28] = Output;
            data[offset + 29] = Mips;
            LittleEndian.Put16(data, offset + 30, Format);
            LittleEndian.Put32(data, offset + 32, Width);
            LittleEndian.Put32(data, offset + 36, Height);
            LittleEndian.Put32(data, offset + 40, RowPitch);
            LittleEndian.Put32(data, offset + 44, PayloadBytes);
            LittleEndian.Put64(data, offset + 48, ClientTime);
            LittleEndian.Put32(data, offset + 56, ComfyMicroseconds);
            LittleEndian.Put32(data, offset + 60, BridgeMicroseconds);
            if (!IsDoorbell) return;
            LittleEndian.Put32(data, offset + 64, Slot);
            LittleEndian.Put32(data, offset + 68, 0);
            LittleEndian.Put64(data, offset + 72, Seq);
        }

        static ProtocolException Bad(string message)
        {
            return new ProtocolException(ProtocolException.BadFrame, message, "bad_frame");
        }
    }
}
