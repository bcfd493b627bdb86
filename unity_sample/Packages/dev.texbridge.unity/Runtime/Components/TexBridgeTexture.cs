using System;
using System.Threading.Tasks;
using UnityEngine;

namespace TexBridge
{
    /// <summary>A stream's pictures as a Texture2D: made anew only when size or format change, the newest picture uploaded
    /// once a frame at most.</summary>
    [AddComponentMenu("TexBridge/Texture")]
    public sealed class TexBridgeTexture : MonoBehaviour
    {
        [Tooltip("Empty: the first one of the scene")]
        [SerializeField] TexBridgeConnection connection;
        [SerializeField] string stream = "main";

        [Tooltip("Empty: the stream is there already. Else it is made of this workflow")]
        [SerializeField] string workflow = "";

        [Tooltip("live, latest, or oneshot for recordings")]
        [SerializeField] string mode = "live";

        [Tooltip("What the workflow shall make; 0: as it comes. Mostly multiples of 8")]
        [SerializeField] int width, height;

        [Tooltip("rgba8, or a block format that the bridge was installed with ([bc])")]
        [SerializeField] PixelFormat format = PixelFormat.Rgba8;
        [SerializeField] bool mipMaps;
        [SerializeField] int output;

        [Tooltip("Fades from picture to picture, so many steps a second; 0: none. For a slow stream on a fast screen; it "
            + "costs the time between two pictures. Not for block formats")]
        [SerializeField] float blendFps;

        [Tooltip("Where the texture is shown; empty: the renderer beside this component")]
        [SerializeField] Renderer target;

        [Tooltip("Of the material's shader; empty: the first that it has of _BaseMap, _BaseColorMap, _UnlitColorMap, _MainTex")]
        [SerializeField] string textureProperty = "";

        readonly PictureTexture picture = new PictureTexture();
        TexBridgeClient client;
        FrameStream frames;
        Sequence sequence;
        float again;

        /// <summary>Told whenever `Texture` is another one, on the main thread.</summary>
        public event Action<Texture2D> TextureChanged;

        /// <summary>Told after each picture, on the main thread.</summary>
        public event Action<FrameHeader> Shown;

        /// <summary>The texture, null before the first picture.</summary>
        public Texture2D Texture { get { return picture.Texture; } }

        public string Stream { get { return stream; } set { stream = value; Forget(); } }
        public string Workflow { get { return workflow; } set { workflow = value; Forget(); } }
        public string Mode { get { return mode; } set { mode = value; Forget(); } }
        public PixelFormat Format { get { return format; } set { format = value; Forget(); } }
        public float BlendFps { get { return blendFps; } set { blendFps = value; Forget(); } }
        public Renderer Target { get { return target; } set { target = value; } }
        public string TextureProperty { get { return textureProperty; } set { textureProperty = value; } }

        public void SetSize(int newWidth, int newHeight)
        {
            width = newWidth;
            height = newHeight;
            Forget();
        }

        /// <summary>For recordings, with Time.captureFramerate: ask for the picture of one index, wait for it, show it. The
        /// stream should be `oneshot`. Throws TimeoutException, or what the bridge refused.</summary>
        public void RequestAndWait(int index, int timeoutMs, ParameterSet values = null, ulong? seed = null)
        {
            if (!Subscribe()) throw new InvalidOperationException("no TexBridgeConnection is enabled");
            Show(frames.RequestAndWait(index, timeoutMs, values, seed));
        }

        /// <summary>Ask for many pictures along tracks. Until `EndSequence` this shows what `ShowFrame` waits for, and
        /// nothing else.</summary>
        public Sequence BeginSequence(int count, TrackSet tracks, SequenceOptions how = null)
        {
            EndSequence();
            if (!Link()) throw new InvalidOperationException("no TexBridgeConnection is enabled");
            return sequence = client.Sequence(stream, count, tracks, how, HowToSubscribe());
        }

        /// <summary>Wait for the frame of an index of the sequence, and show it: in `Update`, before it is rendered.</summary>
        /// <exception cref="SequenceException">It could not be had.</exception>
        public void ShowFrame(int index, int timeoutMs)
        {
            if (sequence == null) throw new InvalidOperationException("BeginSequence comes first");
            Show(sequence.WaitFor(index, timeoutMs));
        }

        /// <summary>Show the stream again. What is left of the sequence is cancelled.</summary>
        public void EndSequence()
        {
            if (sequence != null) sequence.Dispose();
            sequence = null;
        }

        void OnDisable()
        {
            EndSequence();
            Forget();
        }

        void OnDestroy()
        {
            picture.Destroy();
        }

        // Ready at the beginning of the frame, taken at its end: what comes in between is shown at once.
        void Update()
        {
            if (sequence == null && Subscribe()) frames.Ready();
        }

        void LateUpdate()
        {
            FrameSet set;
            if (sequence == null && frames != null && frames.TryTake(out set)) Show(set);
        }

        bool Subscribe()
        {
            if (connection == null) connection = TexBridgeConnection.First;
            if (frames != null && connection != null && client == connection.Client)
            {
                if (frames.Fault == null) return true;
                if (Time.unscaledTime < again) return false;
            }
            again = Time.unscaledTime + 2; // a stream that isn't there may be opened by somebody later
            if (!Link()) return false;
            frames = client.Subscribe(stream, HowToSubscribe());
            return true;
        }

        // The client of this moment, with the stream opened there; false: there is none.
        bool Link()
        {
            Forget();
            if (connection == null) connection = TexBridgeConnection.First;
            client = connection == null ? null : connection.Client;
            if (client == null) return false;
            if (workflow.Length > 0)
            {
                var how = new OpenOptions { Mode = mode, Width = width, Height = height };
                var opened = client.Open(stream, workflow, how);
                opened.ContinueWith(Complain, TaskContinuationOptions.OnlyOnFaulted);
            }
            return true;
        }

        SubscribeOptions HowToSubscribe()
        {
            return new SubscribeOptions
            {
                Format = format, BottomLeft = !PixelFormats.IsEncoded(format), Mips = mipMaps, BlendFps = blendFps,
                Outputs = output > 0 ? new[] { output } : null, SharedMemory = connection.SharedMemory,
            };
        }

        void Forget()
        {
            var old = frames;
            frames = null;
            if (old != null) old.Dispose();
        }

        void Complain(Task opened)
        {
            var why = opened.Exception.InnerException;
            if (why is LinkLostException) return; // the client was closed before the answer came: nothing is wrong
            Debug.LogError("TexBridge: " + stream + ": " + why.Message);
        }

        void Show(FrameSet set)
        {
            var frame = set.OfOutput(output) ?? set[0];
            if (picture.Fit(frame, "TexBridge " + stream))
            {
                if (target == null) target = GetComponent<Renderer>();
                if (target != null) PictureMaterial.Show(target, textureProperty, Texture);
                if (TextureChanged != null) TextureChanged(Texture);
            }
            picture.Upload(frame);
            if (Shown != null) Shown(frame.Header);
        }
    }
}
