// Holds the package's codecs against protocols/vectors.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace TexBridge.Check
{
    public static class Vectors
    {
        // Whether a well-formed map is one of a bridge's messages. A client never reads these.
        static readonly List<string> onlyABridge = new List<string>();

        // Good messages that this client's typed writers don't make. They are read all the same, and written by
        // MsgPackWriter.Any.
        static readonly Dictionary<string, string> NotWritten = new Dictionary<string, string>
        {
            { "message/run_key_number", "its keys are text" },
            { "message/sequence", "its keys are text" },
            { "message/seed", "its seeds are those of open and run" },
            { "message/memory", "its pictures go over the link" },
        };

        // The same values in more bytes: whole numbers in a colour are written as floats.
        static readonly HashSet<string> Longer = new HashSet<string> { "message/sequence_full" };

        const string NeverSplits = "a client's messages are within limits.max_message_bytes: it never sends parts";

        static readonly List<string> failures = new List<string>();
        static readonly Dictionary<string, int> counts = new Dictionary<string, int>();

        public static int Run(string folder)
        {
            Each(folder, "frame", Frame);
            Each(folder, "part", Part);
            Each(folder, "framing", Framing);
            Each(folder, "message", Message);
            Each(folder, "memory", Memory);
            Each(folder, "osc", Osc);
            foreach (var name in NotWritten.Keys)
                if (!File.Exists(Path.Combine(folder, name + ".hex"))) failures.Add(name + ": is gone; take it off the list");
            foreach (var name in onlyABridge)
                Console.WriteLine("not refused: " + name + " (only a bridge can judge it)");
            foreach (var pair in NotWritten) Console.WriteLine("not written: " + pair.Key + " (" + pair.Value + ")");
            Console.WriteLine("not written: part/* (" + NeverSplits + ")");
            Console.WriteLine("not read: node/* (between the bridge and ComfyUI)");
            foreach (var failure in failures) Console.WriteLine("FAILED " + failure);
            Console.WriteLine(string.Join(" ", counts.Select(pair => pair.Key + "=" + pair.Value)));
            return failures.Count == 0 ? 0 : 1;
        }

        static void Each(string folder, string family, Action<VectorFile> check)
        {
            foreach (var path in Directory.GetFiles(Path.Combine(folder, family), "*.hex").OrderBy(path => path))
            {
                var vector = new VectorFile(path);
                try
                {
                    check(vector);
                }
                catch (Exception error)
                {
                    failures.Add(vector.Name + ": " + error.GetType().Name + ": " + error.Message);
                }
                int count;
                counts.TryGetValue(family, out count);
                counts[family] = count + 1;
            }
        }

        static void Refused(VectorFile vector, Action read, string what = "")
        {
            try
            {
                read();
            }
            catch (ProtocolException error)
            {
                if (error.Code != vector.Code)
                    failures.Add(vector.Name + what + ": code " + error.Code + ", not " + vector.Code);
                return;
            }
            failures.Add(vector.Name + what + ": was not refused");
        }

        static void Check(VectorFile vector, Dictionary<string, object> found, bool complete = false)
        {
            foreach (var pair in vector.Values)
            {
                object value;
                if (!found.TryGetValue(pair.Key, out value)) failures.Add(vector.Name + ": no " + pair.Key);
                else if (!VectorFile.Same(pair.Value, value))
                    failures.Add(vector.Name + ": " + pair.Key + " is " + (value ?? "null") + ", not " + pair.Value);
            }
            if (!complete) return;
            foreach (var pair in found)
                if (pair.Value != null && !vector.Values.ContainsKey(pair.Key))
                    failures.Add(vector.Name + ": has " + pair.Key + " too");
        }

        static void Fields(FrameHeader header, string before, Dictionary<string, object> found)
        {
            found[before + "header_bytes"] = (long)header.HeaderBytes;
            found[before + "flags"] = (long)header.Flags;
            found[before + "stream"] = (long)header.Stream;
            found[before + "number"] = (long)header.Number;
            found[before + "request"] = header.Request;
            found[before + "index"] = (long)header.Index;
            found[before + "output"] = (long)header.Output;
            found[before + "mips"] = (long)header.Mips;
            found[before + "format"] = (long)header.Format;
            found[before + "width"] = (long)header.Width;
            found[before + "height"] = (long)header.Height;
            found[before + "row_pitch"] = (long)header.RowPitch;
            found[before + "payload_bytes"] = (long)header.PayloadBytes;
            found[before + "client_time"] = header.ClientTime;
            found[before + "comfy_us"] = (long)header.ComfyMicroseconds;
            found[before + "bridge_us"] = (long)header.BridgeMicroseconds;
            found[before + "slot"] = (long)header.Slot;
            found[before + "seq"] = header.Seq;
        }

        static void Frame(VectorFile vector)
        {
            var item = vector.Items[0];
            // The place in a buffer must not matter.
            var shifted = new byte[item.Length + 7];
            Buffer.BlockCopy(item, 0, shifted, 7, item.Length);
            foreach (var cut in vector.Cuts)
                Refused(vector, () => FrameHeader.Read(item, 0, cut), " cut to " + cut);
            if (vector.IsError && vector.Cuts.Count == 0)
            {
                Refused(vector, () => FrameHeader.Read(item, 0, item.Length));
                return;
            }
            var header = FrameHeader.Read(shifted, 7, item.Length);
            var found = new Dictionary<string, object>();
            Fields(header, "", found);
            var payload = item.Skip(header.HeaderBytes).ToArray();
            found["payload"] = payload;
            found["payload.bytes"] = (long)payload.Length;
            Check(vector, found);
            if (!vector.IsCanonical) return;
            var written = new byte[header.HeaderBytes + payload.Length];
            header.Write(written, 0);
            payload.CopyTo(written, header.HeaderBytes);
            if (!VectorFile.Equal(item, written)) failures.Add(vector.Name + ": is written otherwise");
        }

        static void Part(VectorFile vector)
        {
            long limit;
            if (!vector.Limits.TryGetValue("max_total_bytes", out limit)) limit = 1 << 28;
            var assembler = new PartAssembler((int)limit);
            var found = new Dictionary<string, object>();
            Action feed = () =>
            {
                for (var place = 0; place < vector.Items.Count; place++)
                {
                    var item = vector.Items[place];
                    if (!vector.IsError && !PartAssembler.IsPart(item, 0, item.Length))
                    {
                        found["after." + place] = null; // a whole message between the parts of another
                        continue;
                    }
                    found["after." + place] = assembler.Feed(item, 0, item.Length)
                        ? assembler.Whole.Take(assembler.Count).ToArray()
                        : null;
                }
            };
            if (!vector.IsError)
            {
                feed();
                Check(vector, found);
            }
            else if (vector.Cuts.Count == 0) Refused(vector, feed);
            else
                foreach (var cut in vector.Cuts)
                    Refused(vector, () => new PartAssembler((int)limit).Feed(vector.Items[0], 0, cut), " cut to " + cut);
        }

        static void Framing(VectorFile vector)
        {
            long limit;
            if (!vector.Limits.TryGetValue("max_message_bytes", out limit)) limit = 1 << 28;
            var stream = vector.Items[0];
            Action<int[]> feed = ends =>
            {
                var decoder = new LengthDecoder((int)limit);
                var messages = new List<byte[]>();
                var at = 0;
                foreach (var end in ends)
                    while (at < end)
                    {
                        var count = Math.Min(decoder.TargetCount, end - at);
                        Buffer.BlockCopy(stream, at, decoder.Target, decoder.TargetOffset, count);
                        at += count;
                        if (decoder.Received(count)) messages.Add(decoder.Body.Take(decoder.Count).ToArray());
                    }
                var found = new Dictionary<string, object>
                {
                    { "messages", (long)messages.Count }, { "waiting", (long)decoder.Waiting },
                };
                for (var place = 0; place < messages.Count; place++)
                {
                    found["message." + place] = messages[place];
                    found["message." + place + ".bytes"] = (long)messages[place].Length;
                }
                Check(vector, found);
            };
            var ways = new List<int[]> { new[] { stream.Length }, Enumerable.Range(1, stream.Length).ToArray() };
            ways.AddRange(Enumerable.Range(1, stream.Length).Select(cut => new[] { cut, stream.Length }));
            foreach (var way in ways)
                if (vector.IsError) Refused(vector, () => feed(way));
                else feed(way);
        }

        static void Memory(VectorFile vector)
        {
            var page = vector.Items[0];
            var length = vector.Limits["file_bytes"];
            var found = new Dictionary<string, object>();
            Action read = () =>
            {
                var fields = SharedMemoryPage.Read(page, page.Length, length);
                found["slots"] = (long)fields.Slots;
                found["slot_stride"] = (long)fields.Stride;
                found["capacity"] = (long)fields.Capacity;
                found["generation"] = (long)fields.Generation;
                found["nonce"] = fields.Nonce;
                found["pid"] = fields.Pid;
                if (vector.Items.Count < 2) return;
                var item = vector.Items[1];
                if (item[0] == 'T')
                {
                    var bell = FrameHeader.Read(item, 0, item.Length);
                    Fields(bell, "doorbell.", found);
                    var at = fields.SlotAt(ref bell);
                    found["doorbell.seq_at"] = at;
                    found["doorbell.header_at"] = at + 64;
                    found["doorbell.payload_at"] = at + SharedMemoryPage.SlotHeaderBytes;
                    return;
                }
                found["slot.seq"] = LittleEndian.U64(item, 0);
                if (LittleEndian.U64(item, 0) % 2 != 0) return; // being written: its header means nothing
                var header = FrameHeader.ReadFields(item, 64);
                if (header.IsDoorbell) throw new ProtocolException(ProtocolException.BadFrame, "flag 128 in a slot");
                header.CheckGeometry();
                Fields(header, "slot.", found);
                found["slot.seq"] = LittleEndian.U64(item, 0);
            };
            foreach (var cut in vector.Cuts)
                Refused(vector, () => SharedMemoryPage.Read(page, cut, length), " cut to " + cut);
            if (vector.IsError && vector.Cuts.Count == 0) Refused(vector, read);
            else
            {
                read();
                Check(vector, found);
            }
        }

        static void Osc(VectorFile vector)
        {
            var item = vector.Items[0];
            foreach (var cut in vector.Cuts) Refused(vector, () => new OscReader().Read(item, cut), " cut to " + cut);
            if (vector.IsError && vector.Cuts.Count == 0)
            {
                Refused(vector, () => new OscReader().Read(item, item.Length));
                return;
            }
            var packet = new OscReader().Read(item, item.Length);
            var found = new Dictionary<string, object>();
            Packet(packet, "", found);
            Check(vector, found);
            if (!vector.IsCanonical) return;
            var writer = new OscWriter();
            writer.Packet(packet);
            if (!VectorFile.Equal(item, writer.Bytes.Take(writer.Count).ToArray()))
                failures.Add(vector.Name + ": is written otherwise");
        }

        static void Packet(OscPacket packet, string before, Dictionary<string, object> found)
        {
            var bundle = packet as OscBundle;
            if (bundle != null)
            {
                found[before + "time_tag"] = bundle.TimeTag;
                for (var place = 0; place < bundle.Elements.Count; place++)
                    Packet(bundle.Elements[place], before + "element." + place + ".", found);
                return;
            }
            var message = (OscMessage)packet;
            found[before + "address"] = message.Address;
            found[before + "tags"] = message.Tags;
            for (var place = 0; place < message.Arguments.Count; place++)
            {
                var value = message.Arguments[place];
                if (value is OscColor)
                {
                    var colour = (OscColor)value;
                    value = new[] { colour.R, colour.G, colour.B, colour.A };
                }
                var blob = value as byte[];
                found[before + "argument." + place] = value is OscImpulse ? null : value;
                if (blob != null) found[before + "argument." + place + ".bytes"] = (long)blob.Length;
            }
        }

        static void Message(VectorFile vector)
        {
            var item = vector.Items[0];
            Func<Map> read = () => new MsgPackReader().ReadMessage(item, 0, item.Length);
            foreach (var cut in vector.Cuts)
                Refused(vector, () => new MsgPackReader().ReadMessage(item, 0, cut), " cut to " + cut);
            if (vector.IsError && vector.Cuts.Count == 0)
            {
                if (vector.IsForBridges)
                {
                    read();
                    onlyABridge.Add(vector.Name);
                }
                else Refused(vector, () => read());
                return;
            }
            var map = read();
            if (vector.IsError) return;
            var found = new Dictionary<string, object>();
            VectorFile.Flatten(map, "", found);
            foreach (var pair in found.ToArray())
                if (pair.Value is byte[] && !vector.Values.ContainsKey(pair.Key))
                {
                    found[pair.Key + ".bytes"] = (long)((byte[])pair.Value).Length;
                    found.Remove(pair.Key);
                }
            Check(vector, found, vector.Name != "message/unknown_fields");
            if (!vector.IsCanonical) return;
            var writer = new MsgPackWriter();
            writer.Any(map);
            Written(vector, writer, "Any");
            if (vector.Direction != "engine" || NotWritten.ContainsKey(vector.Name)) return;
            writer.Clear();
            Typed.Write(writer, map);
            Written(vector, writer, "EngineMessages");
        }

        static void Written(VectorFile vector, MsgPackWriter writer, string by)
        {
            if (writer.Count != vector.Items[0].Length && !(by == "EngineMessages" && Longer.Contains(vector.Name)))
                failures.Add(vector.Name + ": " + by + " writes " + writer.Count + " bytes, not " + vector.Items[0].Length);
            var again = new Dictionary<string, object>();
            VectorFile.Flatten(new MsgPackReader().ReadMessage(writer.Bytes, 0, writer.Count), "", again);
            Check(vector, again, true);
        }
    }
}
