using System.Collections.Generic;
using System.Threading.Tasks;

namespace TexBridge
{
    // Sequences: one request, many pictures. Source: protocols/engine-link.md, sequence.
    public sealed partial class TexBridgeClient
    {
        const int SequenceCredit = 4;

        /// <summary>Ask for many pictures along tracks, and for all of them in order: it subscribes for itself, `lossless`
        /// (or `paced`), in place of another subscription of this client to that stream. After a restart of the bridge it
        /// asks for the rest by itself, unless pictures go in frame by frame; give a seed where the rest should have the
        /// same one as the beginning.</summary>
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
            return new Sequence(this, ordered, frames, tracks, how);
        }

        /// <summary>Ask for the frames from `done` on: those before it were made for an earlier request.</summary>
        internal RunHandle AskForSequence(FrameStream ordered, int frames, int done, TrackSet tracks, SequenceOptions how)
        {
            var rest = how.Copy();
            rest.First += done;
            if (done > 0 || rest.Key == null) rest.Key = NextKey();
            var run = new RunHandle(ordered.Name, rest.Key);
            lock (gate)
            {
                Begin();
                EngineMessages.Sequence(writer, nextId, ordered.Name, (uint)(frames - done), tracks, rest);
                Ask(run, "sequence");
                run.Waiter = ordered;
            }
            return run;
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
