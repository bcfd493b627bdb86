namespace TexBridge
{
    /// <summary>Numbers as the link has them, whatever the machine's own order is.</summary>
    public static class LittleEndian
    {
        public static ushort U16(byte[] data, int at)
        {
            return (ushort)(data[at] | data[at + 1] << 8);
        }

        public static uint U32(byte[] data, int at)
        {
            return data[at] | (uint)data[at + 1] << 8 | (uint)data[at + 2] << 16 | (uint)data[at + 3] << 24;
        }

        public static ulong U64(byte[] data, int at)
        {
            return U32(data, at) | (ulong)U32(data, at + 4) << 32;
        }

        public static void Put16(byte[] data, int at, uint value)
        {
            data[at] = (byte)value;
            data[at + 1] = (byte)(value >> 8);
        }

        public static void Put32(byte[] data, int at, uint value)
        {
            Put16(data, at, value);
            Put16(data, at + 2, value >> 16);
        }

        public static void Put64(byte[] data, int at, ulong value)
        {
            Put32(data, at, (uint)value);
            Put32(data, at + 4, (uint)(value >> 32));
        }
    }
}
