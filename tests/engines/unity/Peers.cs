// A client before a peer that a test has scripted, and shared memory that a test has written.
using System;
using System.IO;
using System.Net;
using System.Net.Sockets;

namespace TexBridge.Check
{
    public static class Peers
    {
        const int LimitMs = 60000;

        /// <summary>Connect, ask once for a pong, and wait for the end; what happened, a line each.</summary>
        public static int Greet(string address)
        {
            using (var client = new TexBridgeClient(new ClientOptions { Address = address, Client = "a test" }))
            {
                client.Start();
                var ping = client.Ping();
                var since = Environment.TickCount;
                while (unchecked(Environment.TickCount - since) < LimitMs)
                {
                    LinkEvent happened;
                    if (!client.TryTakeEvent(out happened))
                    {
                        System.Threading.Thread.Sleep(5);
                        continue;
                    }
                    var error = happened.Error as ProtocolException;
                    Console.WriteLine(happened.Kind + " " + (happened.Welcome != null ? happened.Welcome.Server
                        : error != null ? error.Code + " " + error.Message
                        : happened.Error != null ? happened.Error.GetType().Name : ""));
                    if (happened.IsFinal) break;
                }
                Console.WriteLine("ping " + ping.Status);
                return 0;
            }
        }

        /// <summary>Subscribe, wait for a pong (all frames are here then), take what there is; a line for each set.</summary>
        public static int Take(string address, string delivery, int credit)
        {
            using (var client = new TexBridgeClient(new ClientOptions { Address = address, Client = "a test" }))
            {
                client.Start();
                var frames = client.Subscribe("s", new SubscribeOptions { Delivery = delivery, Credit = credit });
                if (!frames.Subscribed.Wait(LimitMs) || !client.Ping().Wait(LimitMs)) throw new TimeoutException();
                FrameSet set;
                while (frames.TryTake(out set))
                {
                    var outputs = "";
                    for (var place = 0; place < set.Count; place++)
                        outputs += " " + set[place].Header.Output + ":" + set[place].ToArray()[0];
                    Console.WriteLine(set.Number + (set.IsHeld ? " held" : "") + outputs);
                }
                frames.Ready(); // nothing is due any more
                Console.WriteLine("came " + frames.Came + ", replaced " + frames.Replaced);
                return client.Ping().Wait(LimitMs) ? 0 : 1; // what was acked is there
            }
        }

        /// <summary>The rules of a reader, one after the other, on a file made here.</summary>
        public static int Memory(string file)
        {
            const int slots = 4, stride = 8192, capacity = 4096;
            var bytes = new byte[4096 + slots * stride];
            "TXBS".CopyBytes(bytes);
            LittleEndian.Put16(bytes, 4, 1);
            LittleEndian.Put32(bytes, 8, slots);
            LittleEndian.Put32(bytes, 12, stride);
            LittleEndian.Put32(bytes, 16, capacity);
            LittleEndian.Put64(bytes, 24, 77);
            const int slotAt = 4096 + 2 * stride;
            LittleEndian.Put64(bytes, slotAt, 14);
            for (var place = 0; place < capacity; place++) bytes[slotAt + 128 + place] = (byte)(place * 7);
            File.WriteAllBytes(file, bytes);
            var bell = new FrameHeader { Slot = 2, Seq = 14, PayloadBytes = capacity };
            var target = new byte[capacity];
            using (var reader = new SharedMemoryReader(file, 77, slots, stride))
            {
                Check(reader.Copy(ref bell, target), "a whole slot");
                for (var place = 0; place < capacity; place++) Check(target[place] == (byte)(place * 7), "byte " + place);
                bell.Seq = 12;
                Check(!reader.Copy(ref bell, target), "an older doorbell: the slot was taken for another picture");
                bell.Seq = 16;
                Check(!reader.Copy(ref bell, target), "a doorbell of a picture that isn't there yet");
                Refused(() => Copy(reader, 4, 14, capacity, target), "a slot outside");
                Refused(() => Copy(reader, 2, 15, capacity, target), "an odd seq");
                Refused(() => Copy(reader, 2, 14, capacity + 1, target), "more than a slot holds");
            }
            Refused(() => new SharedMemoryReader(file, 78, slots, stride), "another nonce: another host");
            Refused(() => new SharedMemoryReader(file, 77, slots + 1, stride), "other slots");
            Refused(() => new SharedMemoryReader(file, 77, slots, stride * 2), "another stride");
            File.Delete(file);
            Console.WriteLine("ok");
            return 0;
        }

        /// <summary>Doorbells of a writer that waits for nobody, by UDP; each picture is full of its own number.</summary>
        public static int Stress(int wanted)
        {
            var ear = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
            Console.WriteLine(((IPEndPoint)ear.Client.LocalEndPoint).Port);
            Console.Out.Flush();
            var told = Console.ReadLine().Split(' ');
            int accepted = 0, rejected = 0, wrong = 0;
            var picture = new byte[0];
            var from = new IPEndPoint(IPAddress.Any, 0);
            using (var reader = new SharedMemoryReader(
                told[0], ulong.Parse(told[1]), uint.Parse(told[2]), uint.Parse(told[3])))
                for (var turn = 0; accepted < wanted; turn++)
                {
                    var bell = ear.Receive(ref from);
                    // The newest, or one whose slot is just about to be taken.
                    for (var older = turn % 2 == 0 ? 0 : 3; ear.Available > older * 80;) bell = ear.Receive(ref from);
                    if (!(bell.Length == 80 && bell[0] == 'T')) continue;
                    var header = FrameHeader.Read(bell, 0, bell.Length);
                    if (picture.Length < header.PayloadBytes) picture = new byte[header.PayloadBytes];
                    if (!reader.Copy(ref header, picture))
                    {
                        rejected++;
                        continue;
                    }
                    accepted++;
                    for (var place = 0; place < picture.Length; place += 4)
                    {
                        if (LittleEndian.U32(picture, place) == header.Number) continue;
                        wrong++;
                        break;
                    }
                }
            ear.Close();
            Console.WriteLine("{\"accepted\": " + accepted + ", \"rejected\": " + rejected + ", \"wrong\": " + wrong + "}");
            return 0;
        }

        static void Copy(SharedMemoryReader reader, uint slot, ulong seq, uint count, byte[] target)
        {
            var bell = new FrameHeader { Slot = slot, Seq = seq, PayloadBytes = count };
            reader.Copy(ref bell, target);
        }

        static void CopyBytes(this string text, byte[] target)
        {
            for (var place = 0; place < text.Length; place++) target[place] = (byte)text[place];
        }

        static void Refused(Action action, string what)
        {
            try
            {
                action();
            }
            catch (ProtocolException)
            {
                return;
            }
            throw new Exception("was not refused: " + what);
        }

        static void Check(bool condition, string what)
        {
            if (!condition) throw new Exception("not so: " + what);
        }
    }
}
