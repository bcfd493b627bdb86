// A reader of shared memory in C#, from protocols/shared-memory.md alone; what reader.cpp does, with MemoryMappedFile.
// Written for the oldest C# that Unity's Mono compiles.
using System;
using System.IO;
using System.IO.MemoryMappedFiles;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Threading;

static class Reader
{
    const int SlotsAt = 4096;

    static MemoryMappedViewAccessor view;
    static uint slots, stride, capacity;

    static bool Open(string file, ulong nonce, uint toldSlots, uint toldStride)
    {
        var share = FileShare.ReadWrite | FileShare.Delete; // so that the bridge can remove the file
        var stream = new FileStream(file, FileMode.Open, FileAccess.Read, share);
        if (stream.Length < 40) return false;
        var mapped = MemoryMappedFile.CreateFromFile(
            stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, false);
        view = mapped.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        if (view.ReadUInt32(0) != 0x53425854 || view.ReadUInt16(4) != 1) return false; // "TXBS"
        slots = view.ReadUInt32(8);
        stride = view.ReadUInt32(12);
        capacity = view.ReadUInt32(16);
        return slots == toldSlots && stride == toldStride && view.ReadUInt64(24) == nonce && slots >= 4 && stride != 0
            && stride % 4096 == 0 && capacity >= 1 && capacity <= stride - 128
            && SlotsAt + (long)slots * stride <= stream.Length;
    }

    // Copies a doorbell's payload; false if it points nowhere, or the slot was taken for a newer picture.
    static bool Copy(byte[] bell, byte[] picture)
    {
        var bytes = BitConverter.ToUInt32(bell, 44);
        var slot = BitConverter.ToUInt32(bell, 64);
        var seq = BitConverter.ToUInt64(bell, 72);
        if (slot >= slots || bytes > capacity || bytes > picture.Length || seq % 2 != 0) return false;
        var begin = SlotsAt + (long)slot * stride;
        if (view.ReadUInt64(begin) != seq) return false;
        Thread.MemoryBarrier();
        // As fast as memcpy; ReadArray goes byte by byte in Mono.
        Marshal.Copy(new IntPtr(view.SafeMemoryMappedViewHandle.DangerousGetHandle().ToInt64() + begin + 128),
            picture, 0, (int)bytes);
        Thread.MemoryBarrier();
        return view.ReadUInt64(begin) == seq;
    }

    static int Main(string[] arguments)
    {
        var ear = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        Console.WriteLine(((IPEndPoint)ear.Client.LocalEndPoint).Port);
        Console.Out.Flush();
        var told = Console.ReadLine().Split(' ');
        if (!Open(told[0], ulong.Parse(told[1]), uint.Parse(told[2]), uint.Parse(told[3])))
        {
            Console.WriteLine("{\"error\": \"the file is not the one that was meant\"}");
            return 1;
        }
        int wanted = int.Parse(arguments[0]), accepted = 0, rejected = 0, wrong = 0;
        var picture = new byte[capacity];
        var words = new uint[capacity / 4];
        var from = new IPEndPoint(IPAddress.Any, 0);
        while (accepted < wanted)
        {
            var bell = ear.Receive(ref from);
            while (ear.Available > 0) bell = ear.Receive(ref from); // the newest there is
            if (bell.Length != 80 || BitConverter.ToUInt32(bell, 0) != 0x31425854) continue; // "TXB1"
            if ((BitConverter.ToUInt16(bell, 6) & 128) == 0) continue;
            if (!Copy(bell, picture))
            {
                rejected++;
                continue;
            }
            accepted++;
            var number = BitConverter.ToUInt32(bell, 12);
            Buffer.BlockCopy(picture, 0, words, 0, picture.Length / 4 * 4);
            for (var place = 0; place < words.Length; place++)
            {
                if (words[place] == number) continue;
                wrong++;
                break;
            }
        }
        Console.WriteLine("{\"accepted\": " + accepted + ", \"rejected\": " + rejected + ", \"wrong\": " + wrong + "}");
        return 0;
    }
}
