using System;
using System.Threading;

namespace TexBridge
{
    // What comes in on a link: frames to their streams, answers to who asked, the rest as events.
    public sealed partial class TexBridgeClient : ILinkReceiver
    {
        void ILinkReceiver.Received(ref byte[] buffer, int count)
        {
            Volatile.Write(ref lastHeard, Environment.TickCount);
            if (!PartAssembler.IsPart(buffer, 0, count)) Whole(ref buffer, count);
            else if (parts.Feed(buffer, 0, count)) Whole(ref parts.Whole, parts.Count);
        }

        void Whole(ref byte[] buffer, int count)
        {
            try
            {
                if (count >= 2 && buffer[0] == 'T' && buffer[1] == 'X') TakeFrame(ref buffer, count);
                else TakeMessage(reader.ReadMessage(buffer, 0, count));
            }
            catch (ProtocolException error)
            {
                if (error == fatal) throw;
                Malformed++;
                // One bad message costs nothing; another language costs the link.
                if (error.Code != ProtocolException.BadFrame && error.Code != ProtocolException.BadMessage) throw;
                Tell(new LinkEvent { Kind = LinkEventKind.Error, Error = error });
            }
        }

        void TakeFrame(ref byte[] buffer, int count)
        {
            var header = FrameHeader.Read(buffer, 0, count);
            FrameStream frames;
            lock (gate) byNumber.TryGetValue(header.Stream, out frames);
            if (frames == null) return; // a subscription that has just ended
            if (header.IsDoorbell) frames.AddDoorbell(ref header);
            else frames.Add(ref header, ref buffer);
        }

        void TakeMessage(Map map)
        {
            var op = map.Text("op", "");
            Ask ask = null;
            if (map.Has("id"))
                lock (gate)
                {
                    var id = map.Unsigned("id");
                    if (asks.TryGetValue(id, out ask)) asks.Remove(id);
                }
            if (op == "error")
            {
                var error = ErrorMessage.Read(map);
                if (map.Flag("fatal"))
                {
                    fatal = error;
                    throw error;
                }
                if (ask != null) ask.OnError(error);
                else Tell(new LinkEvent { Kind = LinkEventKind.Error, Error = error, Message = map });
            }
            else if (op == "welcome") Greeted(new Welcome(map));
            else if (ask != null)
            {
                if (op == ask.Expects) Answer(ask, map);
                else ask.OnError(new ProtocolException(
                    ProtocolException.BadMessage, ask.Op + " was answered with " + op, "bad_message"));
            }
            else if (op == "memory") TakeMemory(map);
            else if (op == "finished") TakeFinished(map);
            else if (op == "progress" || op == "changed")
                Tell(new LinkEvent { Kind = LinkEventKind.Message, Message = map });
        }

        // An answer that can't be read costs its question, not the link.
        static void Answer(Ask ask, Map map)
        {
            try
            {
                ask.OnAnswer(map);
            }
            catch (Exception error)
            {
                if (!(error is InvalidCastException || error is OverflowException || error is FormatException)) throw;
                ask.OnError(error);
            }
        }

        void TakeFinished(Map map)
        {
            RunHandle run = null;
            var key = Finished.KeyOf(map);
            lock (gate)
                if (key != null && runs.TryGetValue(key, out run))
                {
                    runs.Remove(key);
                    asks.Remove(run.Ask.Id);
                }
            if (run != null) run.Finish(new Finished(map), Epoch);
            else Tell(new LinkEvent { Kind = LinkEventKind.Message, Message = map });
        }

        // The next doorbells point into this file. Where it can't be had, frames come over the link from now on.
        void TakeMemory(Map map)
        {
            FrameStream frames;
            lock (gate) byNumber.TryGetValue((uint)map.Unsigned("stream"), out frames);
            if (frames == null) return;
            frames.UseMemory(null);
            try
            {
                frames.UseMemory(new SharedMemoryReader(map.Text("file", ""), map.Unsigned("nonce"),
                    (uint)map.Unsigned("slots"), (uint)map.Unsigned("stride")));
            }
            catch (Exception error) // whatever a platform says: another host, no rights, no such thing here
            {
                Tell(new LinkEvent { Kind = LinkEventKind.Error, Error = error });
                lock (gate)
                {
                    frames.Options.SharedMemory = false;
                    SaySubscribe(frames);
                }
            }
        }
    }
}
