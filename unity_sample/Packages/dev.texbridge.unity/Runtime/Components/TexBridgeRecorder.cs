using System;
using System.Threading.Tasks;
using UnityEngine;

namespace TexBridge
{
    /// <summary>Plays a keyed sequence of a stream into a TexBridgeTexture, one picture for each of Unity's frames: the game's
    /// time stands still until the picture of the frame is there, so whatever records the game (Unity Recorder,
    /// ScreenCapture) has every picture in its frame.</summary>
    [DefaultExecutionOrder(-50)]
    [AddComponentMenu("TexBridge/Recorder")]
    public sealed class TexBridgeRecorder : MonoBehaviour
    {
        /// <summary>A parameter along a curve; time in seconds, 0 at the first frame.</summary>
        [Serializable]
        public sealed class Curve
        {
            public string parameter = "noise";
            public AnimationCurve curve = AnimationCurve.Linear(0, 0, 1, 1);
        }

        /// <summary>A colour from the first frame (0) to the last (1).</summary>
        [Serializable]
        public sealed class Colours
        {
            public string parameter = "top_left";
            public Gradient gradient = new Gradient();
        }

        [Tooltip("Empty: the one beside this component. Its Mode should be oneshot")]
        [SerializeField] TexBridgeTexture texture;
        [SerializeField] int frames = 48;

        [Tooltip("Its number: what seeds are counted from, and keys that a script sets")]
        [SerializeField] int firstFrame;
        [SerializeField] int framesPerSecond = 24;
        [SerializeField] Curve[] curves = new Curve[0];
        [SerializeField] Colours[] colours = new Colours[0];

        [Tooltip("Of the first frame; under 0: the stream's own")]
        [SerializeField] int seed = -1;

        [Tooltip("So long a frame is waited for, with Unity standing still")]
        [SerializeField] float timeoutSeconds = 120;
        [SerializeField] bool recordOnStart = true;

        Sequence sequence;
        int rateBefore;
        bool begun;

        /// <summary>A picture is in the texture; the index of its frame.</summary>
        public event Action<int> FrameShown;

        /// <summary>All frames were shown; the bridge's one terminal answer (of a sequence that a restart of the bridge made
        /// it ask for again, that for the rest), null if it was lost.</summary>
        public event Action<Finished> Ended;

        /// <summary>A frame could not be had: which, and why. The recording is over.</summary>
        public event Action<SequenceException> Failed;

        /// <summary>Keys set by a script; they come beside those of the inspector, in place of those of the same parameter
        /// and frame.</summary>
        public readonly TrackSet Tracks = new TrackSet();

        public TexBridgeTexture Texture { get { return texture; } set { texture = value; } }
        public int Frames { get { return frames; } set { frames = value; } }
        public int FirstFrame { get { return firstFrame; } set { firstFrame = value; } }
        public int FramesPerSecond { get { return framesPerSecond; } set { framesPerSecond = value; } }
        public int Seed { get { return seed; } set { seed = value; } }
        public float TimeoutSeconds { get { return timeoutSeconds; } set { timeoutSeconds = value; } }
        public bool RecordOnStart { get { return recordOnStart; } set { recordOnStart = value; } }
        public Curve[] Curves { get { return curves; } set { curves = value; } }
        public Colours[] ColourTracks { get { return colours; } set { colours = value; } }

        public bool IsRecording { get { return sequence != null; } }

        /// <summary>Of the frame that is shown; -1 before the first.</summary>
        public int Index { get; private set; }

        /// <summary>Begin. The first picture is in the texture before this frame of Unity's is rendered, if it is called in
        /// `Start`, or in the next one.</summary>
        public void Record()
        {
            Stop();
            begun = true;
            if (texture == null) texture = GetComponent<TexBridgeTexture>();
            if (texture == null || TexBridgeConnection.First == null)
            {
                Debug.LogError("TexBridge: a recorder needs a TexBridgeTexture and an enabled TexBridgeConnection", this);
                return;
            }
            var how = new SequenceOptions { First = firstFrame, Fps = framesPerSecond };
            if (seed >= 0) how.Seed = (ulong)seed;
            sequence = texture.BeginSequence(frames, AllTracks(), how);
            Index = -1;
            rateBefore = Time.captureFramerate;
            Time.captureFramerate = framesPerSecond;
        }

        /// <summary>End, also before the last frame: what is left is cancelled.</summary>
        public void Stop()
        {
            if (sequence == null) return;
            sequence = null;
            texture.EndSequence();
            Time.captureFramerate = rateBefore;
        }

        void Update()
        {
            if (recordOnStart && !begun) Record();
            if (sequence == null) return;
            var timeoutMs = (int)(timeoutSeconds * 1000);
            try
            {
                if (Index + 1 == frames)
                {
                    End(timeoutMs);
                    return;
                }
                texture.ShowFrame(Index + 1, timeoutMs);
            }
            catch (SequenceException error)
            {
                Stop();
                Debug.LogError("TexBridge: " + error.Message, this);
                if (Failed != null) Failed(error);
                return;
            }
            Index++;
            if (FrameShown != null) FrameShown(Index);
        }

        void OnDisable()
        {
            Stop();
        }

        // One frame later: the last picture was rendered.
        void End(int timeoutMs)
        {
            var answer = sequence.Finished;
            Task.WaitAny(new Task[] { answer }, timeoutMs);
            Stop();
            if (Ended != null) Ended(answer.Status == TaskStatus.RanToCompletion ? answer.Result : null);
        }

        // A curve has a key on each frame: the value that the curve has there, whatever its shape.
        TrackSet AllTracks()
        {
            var all = new TrackSet();
            for (var index = 0; index < frames; index++)
            {
                foreach (var track in curves)
                    all.Set(track.parameter, firstFrame + index, track.curve.Evaluate(index / (float)framesPerSecond));
                foreach (var track in colours)
                {
                    var colour = track.gradient.Evaluate(frames > 1 ? index / (frames - 1f) : 0);
                    all.Set(track.parameter, firstFrame + index,
                        ParameterValue.Numbers(colour.r, colour.g, colour.b, colour.a));
                }
            }
            all.Merge(Tracks);
            return all;
        }
    }
}
