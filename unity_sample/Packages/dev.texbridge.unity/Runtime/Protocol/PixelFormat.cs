namespace TexBridge
{
    /// <summary>The u16 `format` of a frame. Source: protocols/registry.md.</summary>
    public enum PixelFormat : ushort
    {
        Unknown = 0,
        Rgba8 = 1,
        Bgra8 = 2,
        Rgb8 = 3,
        R8 = 4,
        Rgba16F = 5,
        Rgba32F = 6,
        R16 = 7,
        R16F = 8,
        R32F = 9,
        Bc1 = 16,
        Bc3 = 17,
        Bc7 = 18,
        Jpeg = 64,
        Png = 65,
    }

    /// <summary>What a pixel format is called on the link, and how many bytes a picture takes in it.</summary>
    public static class PixelFormats
    {
        public static string Name(PixelFormat format)
        {
            switch (format)
            {
                case PixelFormat.Rgba8: return "rgba8";
                case PixelFormat.Bgra8: return "bgra8";
                case PixelFormat.Rgb8: return "rgb8";
                case PixelFormat.R8: return "r8";
                case PixelFormat.Rgba16F: return "rgba16f";
                case PixelFormat.Rgba32F: return "rgba32f";
                case PixelFormat.R16: return "r16";
                case PixelFormat.R16F: return "r16f";
                case PixelFormat.R32F: return "r32f";
                case PixelFormat.Bc1: return "bc1";
                case PixelFormat.Bc3: return "bc3";
                case PixelFormat.Bc7: return "bc7";
                case PixelFormat.Jpeg: return "jpeg";
                case PixelFormat.Png: return "png";
                default: return "";
            }
        }

        /// <summary>Bytes of a pixel; 0 for block formats, encoded ones and unknown ones.</summary>
        public static uint PixelBytes(PixelFormat format)
        {
            switch (format)
            {
                case PixelFormat.R8: return 1;
                case PixelFormat.R16: return 2;
                case PixelFormat.R16F: return 2;
                case PixelFormat.Rgb8: return 3;
                case PixelFormat.Rgba8: return 4;
                case PixelFormat.Bgra8: return 4;
                case PixelFormat.R32F: return 4;
                case PixelFormat.Rgba16F: return 8;
                case PixelFormat.Rgba32F: return 16;
                default: return 0;
            }
        }

        /// <summary>Bytes of a block of 4x4; 0 for all others.</summary>
        public static uint BlockBytes(PixelFormat format)
        {
            if (format == PixelFormat.Bc1) return 8;
            return format == PixelFormat.Bc3 || format == PixelFormat.Bc7 ? 16u : 0u;
        }

        public static bool IsEncoded(PixelFormat format)
        {
            return format == PixelFormat.Jpeg || format == PixelFormat.Png;
        }

        /// <summary>Bytes of one tight row, or of one row of blocks; 0 for encoded and unknown formats.</summary>
        public static ulong RowBytes(PixelFormat format, uint width)
        {
            var block = BlockBytes(format);
            return block > 0 ? ((ulong)width + 3) / 4 * block : (ulong)width * PixelBytes(format);
        }

        /// <summary>Bytes of a picture with so many mip levels; 0 for encoded and unknown formats.</summary>
        public static ulong PayloadBytes(PixelFormat format, uint width, uint height, int mips)
        {
            ulong total = 0;
            var blocks = BlockBytes(format) > 0;
            for (var level = 0; level < mips; level++)
            {
                var rows = blocks ? ((ulong)height + 3) / 4 : height;
                total += RowBytes(format, width) * rows;
                width = width > 1 ? width / 2 : 1;
                height = height > 1 ? height / 2 : 1;
            }
            return total;
        }

        /// <summary>How many mip levels lead down to 1x1.</summary>
        public static int Levels(uint width, uint height)
        {
            var levels = 1;
            for (var side = width > height ? width : height; side > 1; side /= 2) levels++;
            return levels;
        }
    }
}
