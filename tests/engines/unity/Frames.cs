// Pictures over a live link, as an engine would record them.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Threading;

namespace TexBridge.Check
{
    public static class Frames
    {
        const int LimitMs = 60000;
        const int Width = 64, Height = 48;

        static TexBridgeClient Connect(string address, uint maxMessageBytes = 0)
        {
            var client = new TexBridgeClient(new ClientOptions
            {
                Address = address, Client = "a test", MaxMessageBytes = maxMessageBytes, TimeoutMs = 20000,
            });
            client.Start();
            if (!client.WaitConnected(LimitMs)) throw new TimeoutException("no bridge at " + address + ": " + client.Fault);
            return client;
        }

        public static ParameterSet Values(int index)
        {
            return new ParameterSet()
                .Set("top_left", ParameterValue.Numbers(
                    index % 256 / 255.0, index * 7 % 256 / 255.0, index * 13 % 256 / 255.0))
                .Set("top_right", ParameterValue.Numbers(0, 1, 0))
                .Set("bottom_left", ParameterValue.Numbers(0, 0, 1))
                .Set("bottom_right", ParameterValue.Numbers(1, 1, 1))
                .Set("blur", 0.5)
                .Set("noise", index % 2 == 0 ? 0 : 0.1);
        }

        static FrameStream OpenAndSubscribe(TexBridgeClient client, string stream, string mode, bool sharedMemory)
        {
            var opened = client.Open(stream, "gradient", new OpenOptions { Mode = mode, Width = Width, Height = Height });
            var frames = client.Subscribe(stream, new SubscribeOptions { SharedMemory = sharedMemory });
            if (!opened.Wait(LimitMs) || !frames.Subscribed.Wait(LimitMs)) throw new TimeoutException("open, subscribe");
            return frames;
        }

        /// <summary>So many pictures, each with its own values and seed, written to a file: index, request, number, flags,
        /// width, height as u32, then the payload.</summary>
        public static int Record(string address, int count, string file, bool sharedMemory, uint maxMessageBytes)
        {
            using (var client = Connect(address, maxMessageBytes))
            using (var frames = OpenAndSubscribe(client, "unity", "oneshot", sharedMemory))
            using (var output = new BinaryWriter(File.Create(file)))
            {
                for (var index = 0; index < count; index++)
                {
                    var set = frames.RequestAndWait(index, LimitMs, Values(index), (ulong)index);
                    Write(output, index, set);
                    Console.WriteLine("picture " + index);
                    Console.Out.Flush();
                    // The other side may want to do something here: kill the bridge, cut the link.
                    if (Console.IsInputRedirected && Console.ReadLine() == null) return 2;
                }
                output.Flush();
                Console.WriteLine(string.Format(
                    "{{\"came\": {0}, \"memory\": {1}, \"torn\": {2}, \"malformed\": {3}, \"boot\": \"{4}\", \"resumed\": {5}}}",
                    frames.Came, frames.FromMemory, frames.Torn, client.Malformed, client.Welcome.Boot,
                    client.Welcome.Resumed ? "true" : "false"));
                return 0;
            }
        }

        /// <summary>What a live stream costs per picture, in bytes of heap: on the thread that shows (take, ack, set a
        /// value), on the link's thread (read, take apart). Of eight stretches the one that cost least: where a machine is
        /// slow, the bridge may have something to say of a stream's state in between, and that is read as well.</summary>
        public static int Allocate(string address, int count, bool sharedMemory)
        {
            var method = typeof(GC).GetMethod("GetAllocatedBytesForCurrentThread");
            var bytes = (Func<long>)Delegate.CreateDelegate(typeof(Func<long>), method);
            const int warmUp = 50, stretches = 8;
            var stretch = count / stretches;
            using (var client = Connect(address))
            {
                client.Open("heap", "gradient", new OpenOptions
                {
                    Mode = "live", SeedPolicy = "random", Width = 128, Height = 128,
                    Params = new ParameterSet().Set("noise", 0.5),
                });
                using (var frames = client.Subscribe("heap", new SubscribeOptions { SharedMemory = sharedMemory }))
                {
                    long linkBegin = 0, reading = long.MaxValue, came = 0;
                    var isRead = 0;
                    frames.Arrived += () =>
                    {
                        came++;
                        if (came < warmUp || (came - warmUp) % stretch != 0 || isRead == stretches) return;
                        if (came > warmUp)
                        {
                            reading = Math.Min(reading, bytes() - linkBegin);
                            Volatile.Write(ref isRead, isRead + 1);
                        }
                        linkBegin = bytes();
                    };
                    var values = new ParameterSet();
                    long shownBegin = 0, showing = long.MaxValue;
                    var collections = 0;
                    ulong sum = 0;
                    for (var shown = 0; shown < warmUp + count; shown++)
                    {
                        if (shown == warmUp) collections = GC.CollectionCount(0);
                        if (shown >= warmUp && (shown - warmUp) % stretch == 0)
                        {
                            if (shown > warmUp) showing = Math.Min(showing, bytes() - shownBegin);
                            shownBegin = bytes();
                        }
                        var set = frames.Next(LimitMs);
                        sum += set[0].Bytes[set[0].PayloadOffset];
                        values.Clear();
                        client.Set("heap", values.Set("blur", 0.1 + shown % 9 * 0.1));
                    }
                    collections = GC.CollectionCount(0) - collections;
                    while (Volatile.Read(ref isRead) < stretches) frames.Next(LimitMs);
                    Console.WriteLine(string.Format(
                        "{{\"showing\": {0}, \"reading\": {1}, \"collections\": {2}, \"memory\": {3}}}",
                        showing / (double)stretch, reading / (double)stretch, collections, frames.FromMemory));
                    return sum > 0 ? 0 : 1;
                }
            }
        }

        static void Write(BinaryWriter output, int index, FrameSet set)
        {
            var frame = set[0];
            output.Write((uint)index);
            output.Write((uint)frame.Header.Request);
            output.Write(frame.Header.Number);
            output.Write((uint)frame.Header.Flags);
            output.Write(frame.Header.Width);
            output.Write(frame.Header.Height);
            output.Write(frame.Bytes, frame.PayloadOffset, frame.PayloadBytes);
        }
    }
}
