using System.Collections.Generic;
using System.Threading.Tasks;

namespace TexBridge
{
    // Sequences: one request, many pictures. Source: protocols/engine-link.md, sequence.
    public sealed partial class TexBridgeClient
    {
        const int SequenceCredit = 4;

        /// <summary>Ask for many pictures along tracks, and for all of them in order: it subscribes for itself, `lossless`
        /// (or `paced`), in place of another subscription of this client to that stream.</summary>
        public Sequence Sequence(string stream, int frames, TrackSet tracks, SequenceOptions how = null,
            SubscribeOptions subscribe = null)
        {
            how = how ?? new SequenceOptions();
            subscribe = subscribe ?? new SubscribeOptions();
            if (!subscribe.KeepsEverySet)
            {
                subscribe.Delivery = "lossless";
                subscribe.Credit = SequenceCredit;
            }
            subscribe.SharedMemory = false; // neither is for a queue of sets
            subscribe.BlendFps = 0;
            GiveWay(stream);
            var ordered = Subscribe(stream, subscribe);
            var run = new RunHandle(stream, how.Key ?? NextKey());
            lock (gate)
            {
                Begin();
                EngineMessages.Sequence(writer, nextId, stream, (uint)frames, tracks, new SequenceOptions
                {
                    First = how.First, Fps = how.Fps, Images = how.Images, Key = run.Key, DeadlineMs = how.DeadlineMs,
                    Priority = how.Priority, Seed = how.Seed,
                });
                Ask(run, "sequence");
                run.Waiter = ordered;
            }
            return new Sequence(this, run, ordered, frames, how.First);
        }

        // A session has one subscription of a stream: the newest.
        void GiveWay(string stream)
        {
            var before = new List<FrameStream>();
            lock (gate)
            {
                foreach (var frames in streams)
                    if (frames.Name == stream) before.Add(frames);
                foreach (var frames in before) streams.Remove(frames);
            }
            foreach (var frames in before) frames.Fail(new LinkLostException("a sequence has taken its place"));
        }

        internal Task<bool> ImageOfFrame(
            string stream, string parameter, PictureValue picture, ulong request, uint index)
        {
            return Answer("image", "ok",
                id => EngineMessages.ImageOfFrame(writer, id, stream, parameter, picture, request, index), map => true);
        }
    }
}
