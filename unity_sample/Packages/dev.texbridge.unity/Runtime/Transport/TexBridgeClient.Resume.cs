using System.Collections.Generic;

namespace TexBridge
{
    // What is said on a new link: to a bridge that knows the session, and to one that doesn't.
    // Source: protocols/engine-link.md, Keys and Resume.
    public sealed partial class TexBridgeClient
    {
        /// <summary>Which of our sessions this is: a bridge begins its numbers anew with each. It changes on the link's
        /// thread alone.</summary>
        internal volatile int Epoch;

        void Greeted(Welcome welcome)
        {
            lock (gate)
            {
                if (stopped) return;
                var before = Welcome;
                Welcome = welcome;
                transport = opening;
                opening = null;
                if (before != null && welcome.Resumed) GoOn();
                else BeginAnew(before == null ? null : new LinkLostException(before.Boot == welcome.Boot
                    ? "the session was over before the answer came"
                    : "the bridge was restarted before the answer came"));
            }
            greeted.Set();
            Tell(new LinkEvent { Kind = LinkEventKind.Connected, Welcome = welcome });
        }

        // Under the gate: the bridge has kept everything; what it may not have had is said once more.
        void GoOn()
        {
            foreach (var run in runs.Values) // their keys are known: they make nothing, and bring a lost `finished`
                asks[run.Ask.Id] = run.Ask;
            SayAgain(new List<Ask>(asks.Values));
        }

        // Under the gate: another session. What was under way is lost; streams are opened and subscribed again.
        void BeginAnew(LinkLostException lost)
        {
            Epoch++;
            var kept = new List<Ask>();
            foreach (var ask in new List<Ask>(asks.Values))
            {
                // What names a request by its number means one of the session before.
                if (!ask.Sent && ask.Op != "cancel" && ask.Op != "image") kept.Add(ask);
                else if (!ask.IsSticky) ask.OnError(lost);
            }
            foreach (var run in new List<RunHandle>(runs.Values))
                if (run.Ask.Sent)
                {
                    runs.Remove(run.Key);
                    run.Fail(lost);
                }
            asks.Clear();
            byNumber.Clear();
            foreach (var stream in opened.Values)
                if (!kept.Contains(stream.Ask)) SayOpen(stream);
            foreach (var frames in streams)
                if (!kept.Contains(frames.Ask)) SaySubscribe(frames);
            foreach (var ask in kept) asks[ask.Id] = ask;
            SayAgain(kept);
        }

        // Streams first, then values that waited for a link, then the rest in its order.
        void SayAgain(List<Ask> again)
        {
            again.Sort((left, right) => left.Id.CompareTo(right.Id));
            foreach (var ask in again)
                if (ask.IsSticky) Send(ask);
            foreach (var pair in unsent)
            {
                Begin();
                EngineMessages.Set(writer, 0, pair.Key, pair.Value, 0);
                transport.Send(writer.Bytes, writer.Count);
            }
            unsent.Clear();
            foreach (var ask in again)
                if (!ask.IsSticky) Send(ask);
        }

        void SayOpen(OpenedStream stream)
        {
            Begin();
            EngineMessages.Open(writer, nextId, stream.Name, stream.Workflow, stream.Options);
            stream.Ask = stream.NewAsk();
            Queue(stream.Ask);
            if (!stream.LiveOn.HasValue || stream.LiveOn.Value == (stream.Options.Mode == "live")) return;
            Begin();
            EngineMessages.Switch(writer, 0, "live", stream.Name, stream.LiveOn.Value, 0);
            transport.Send(writer.Bytes, writer.Count);
        }

        void SaySubscribe(FrameStream frames)
        {
            Begin();
            EngineMessages.Subscribe(writer, nextId, frames.Name, frames.Options);
            frames.Ask = new Ask
            {
                Op = "subscribe", Expects = "subscribed", IsSticky = true,
                OnAnswer = map =>
                {
                    var number = (uint)map.Unsigned("number");
                    lock (gate)
                    {
                        if (!streams.Contains(frames)) return;
                        byNumber[number] = frames;
                    }
                    frames.Restart(number, map);
                },
                OnError = error =>
                {
                    lock (gate) streams.Remove(frames);
                    frames.Fail(error);
                    Tell(new LinkEvent { Kind = LinkEventKind.Error, Error = error });
                },
            };
            Queue(frames.Ask);
        }
    }
}
