// Keyed sequences: by the client, by the recorder, and what becomes of a frame that can't be had.
using System;
using System.IO;
using System.Linq;
using System.Threading;
using UnityEngine;

namespace TexBridge.Check
{
    public static class Sequences
    {
        const int LimitMs = 60000;
        const int Width = 64, Height = 48;

        /// <summary>The tracks of `shot` in test_unity_sequence.py.</summary>
        static TrackSet Shot()
        {
            return new TrackSet()
                .Set("top_left", 100, "#ff6040").Set("top_left", 123, "#4060ff", "cubic_in_out")
                .Set("bottom_right", 100, ParameterValue.Numbers(0.1, 0.1, 0.3))
                .Set("bottom_right", 120, ParameterValue.Numbers(0.0, 0.8, 0.7), Easing.Bezier(0.4, 0, 0.2, 1))
                .Set("blur", 100, 0.25).Set("noise", 105, 0.0).Set("noise", 123, 0.25, "cubic_in");
        }

        static void Write(BinaryWriter output, int index, byte[] bytes, int offset, int count)
        {
            output.Write(index);
            output.Write(bytes, offset, count);
        }

        /// <summary>24 frames by the client alone; after each a line, and it waits to be told to go on.</summary>
        public static int Client(string address, string file)
        {
            using (var client = new TexBridgeClient(new ClientOptions { Address = address, Client = "a test", TimeoutMs = 20000 }))
            using (var output = new BinaryWriter(File.Create(file)))
            {
                client.Start();
                client.Open("unity_shot", "gradient", new OpenOptions { Mode = "oneshot", Width = Width, Height = Height });
                var how = new SequenceOptions { First = 100, Fps = 24, Seed = 7 };
                using (var sequence = client.Sequence("unity_shot", 24, Shot(), how))
                {
                    for (var index = 0; index < sequence.Count; index++)
                    {
                        var frame = sequence.WaitFor(index, LimitMs)[0];
                        Write(output, index, frame.Bytes, frame.PayloadOffset, frame.PayloadBytes);
                        Pause(index);
                    }
                    Tell(sequence.Finished, client.Welcome.Resumed);
                }
            }
            return 0;
        }

        /// <summary>The same by the components: what is in the texture at the end of each of the engine's frames.</summary>
        public static int Recorder(string address, string file)
        {
            var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
            connection.Address = address;
            var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
            var texture = quad.AddComponent<TexBridgeTexture>();
            texture.Stream = "unity_recorded";
            texture.Workflow = "gradient";
            texture.Mode = "oneshot";
            texture.SetSize(Width, Height);
            var recorder = quad.AddComponent<TexBridgeRecorder>();
            recorder.Frames = 24;
            recorder.FirstFrame = 100;
            recorder.FramesPerSecond = 24;
            recorder.Seed = 7;
            recorder.TimeoutSeconds = LimitMs / 1000;
            recorder.Tracks.Merge(Shot());
            Finished answer = null;
            Exception fault = null;
            var index = -1;
            recorder.FrameShown += shown => index = shown;
            recorder.Ended += told => answer = told;
            recorder.Failed += error => fault = error;
            using (var output = new BinaryWriter(File.Create(file)))
                while (answer == null && fault == null)
                {
                    var before = index;
                    Player.Frame(1f / 24);
                    if (index == before) continue;
                    if (index != before + 1) throw new Exception("frame " + index + " after " + before);
                    if (Time.captureFramerate != 24) throw new Exception("the game's time goes on");
                    var pixels = texture.Texture.GetRawTextureData<byte>().Items();
                    Write(output, index, pixels, 0, pixels.Length);
                    Pause(index);
                }
            if (fault != null) throw fault;
            if (Time.captureFramerate != 0 || recorder.IsRecording) throw new Exception("it did not end");
            Console.WriteLine("{\"outcome\": \"" + answer.Outcome + "\", \"frames\": " + answer.Frames + ", \"seed\": "
                + answer.Seed + ", \"resumed\": " + (connection.Client.Welcome.Resumed ? "true" : "false") + "}");
            Player.Frame(1f / 24); // the texture shows its stream again
            Player.Stop();
            return 0;
        }

        /// <summary>Curves and gradients of the inspector, and nothing else.</summary>
        public static int Curves(string address, string file)
        {
            var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
            connection.Address = address;
            var quad = GameObject.CreatePrimitive(PrimitiveType.Quad);
            var texture = quad.AddComponent<TexBridgeTexture>();
            texture.Stream = "unity_curves";
            texture.Workflow = "gradient";
            texture.Mode = "oneshot";
            texture.SetSize(Width, Height);
            var recorder = quad.AddComponent<TexBridgeRecorder>();
            recorder.Frames = 5;
            recorder.FramesPerSecond = 4;
            recorder.Seed = 3;
            recorder.Curves = new[]
            {
                new TexBridgeRecorder.Curve { parameter = "blur", curve = AnimationCurve.Linear(0, 0.25f, 1, 0.75f) },
            };
            recorder.ColourTracks = new[] { new TexBridgeRecorder.Colours { parameter = "top_left" } };
            var ended = false;
            recorder.Ended += answer => ended = true;
            using (var output = new BinaryWriter(File.Create(file)))
            {
                recorder.FrameShown += index =>
                {
                    var pixels = texture.Texture.GetRawTextureData<byte>().Items();
                    Write(output, index, pixels, 0, pixels.Length);
                };
                while (!ended) Player.Frame(1f / 4);
            }
            Player.Stop();
            foreach (var line in Debug.Said) Console.WriteLine(line);
            return 0;
        }

        /// <summary>The sample, with its PNGs as raw bytes; the files that it named.</summary>
        public static int Sample(string address, string folder)
        {
            var sample = new GameObject("Sample").AddComponent<SequenceRecorderSample>();
            Put(sample, "address", address);
            Put(sample, "frames", 9);
            Put(sample, "folder", folder);
            TexBridgeRecorder recorder = null;
            ScreenCapture.Take = name => File.WriteAllBytes(
                name, recorder.Texture.Texture.GetRawTextureData<byte>().Items());
            Finished answer = null;
            while (answer == null)
            {
                if (recorder == null && (recorder = Player.All().OfType<TexBridgeRecorder>().FirstOrDefault()) != null)
                    recorder.Ended += told => answer = told;
                Player.Frame(1f / 24);
                if (Debug.Said.Count > 0) throw new Exception(Debug.Said[0]);
            }
            Player.Stop();
            return 0;
        }

        /// <summary>A frame that can't be had: what is thrown for each index that is asked for.</summary>
        public static int Fault(string address, string how)
        {
            using (var client = new TexBridgeClient(new ClientOptions { Address = address, Client = "a test" }))
            {
                client.Start();
                client.Open("unity_fault", "gradient", new OpenOptions { Mode = "oneshot", Width = Width, Height = Height });
                var tracks = new TrackSet().Set("blur", 0, how == "refused" ? 7 : 0.5);
                // Credit lets a few frames run ahead of a reader: all of a short one, never so many of a long one.
                var frames = how == "cancelled" ? 600 : how == "short" ? 3 : 6;
                using (var sequence = client.Sequence("unity_fault", frames, tracks, new SequenceOptions { First = 1001 }))
                    try
                    {
                        for (var index = 0; index < frames; index++)
                        {
                            if (how == "cancelled" && index == 2) sequence.Cancel().Wait(LimitMs);
                            if (how == "cancelled" && index == 2) sequence.Finished.Wait(LimitMs);
                            Console.WriteLine("got " + sequence.WaitFor(index, how == "late" && index == 3 ? 1 : LimitMs).Index);
                            if (how == "passed" && index == 2) sequence.WaitFor(5, LimitMs);
                            if (how == "passed" && index == 2) index = 3;
                        }
                    }
                    catch (SequenceException error)
                    {
                        Console.WriteLine(error.Index + " " + error.InnerException.GetType().Name + " " + error.Message);
                    }
            }
            return 0;
        }

        /// <summary>A sequence whose camera pictures come frame by frame: grey of 40, 80 ... goes in and comes out.</summary>
        public static int Pictures(string address)
        {
            using (var client = new TexBridgeClient(new ClientOptions { Address = address, Client = "a test" }))
            {
                client.Start();
                client.Open("unity_plates", "camera_blend", new OpenOptions { Mode = "oneshot" });
                var tracks = new TrackSet().Set("amount", 0, 0.0);
                var how = new SequenceOptions { Images = new[] { "camera" } };
                using (var sequence = client.Sequence("unity_plates", 5, tracks, how))
                {
                    sequence.Accepted.Wait(LimitMs);
                    for (var index = 0; index < 5; index++)
                    {
                        var plate = Enumerable.Repeat((byte)(40 * (index + 1)), 64 * 64 * 3).ToArray();
                        var value = PictureValue.Pixels(plate, 64, 64, PixelFormat.Rgb8, true);
                        if (!sequence.SendPicture("camera", index, value).Wait(LimitMs)) throw new TimeoutException("picture");
                    }
                    for (var index = 0; index < 5; index++) Console.WriteLine(sequence.WaitFor(index, LimitMs)[0].ToArray()[0]);
                }
            }
            return 0;
        }

        /// <summary>A live stream with cross-fade: held steps between two pictures, each number once as itself.</summary>
        public static int Blend(string address, float fps)
        {
            var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
            connection.Address = address;
            var texture = GameObject.CreatePrimitive(PrimitiveType.Quad).AddComponent<TexBridgeTexture>();
            texture.Stream = "unity_blend";
            texture.Workflow = "gradient";
            texture.Mode = "live";
            texture.BlendFps = fps;
            texture.SetSize(Width, Height);
            var control = new GameObject("colour").AddComponent<TexBridgeParameter>();
            control.Stream = "unity_blend";
            control.Parameter = "top_left";
            int held = 0, made = 0;
            var between = 0;
            texture.Shown += header =>
            {
                var red = texture.Texture.GetRawTextureData<byte>().Items()[(Height - 1) * Width * 4];
                if (header.Number == 0) return;
                if (header.IsHeld)
                {
                    held++;
                    if (red > 60 && red < 190) between++;
                }
                else made++;
                control.Colour = new Color(made % 2, 0, 0, 1); // black and red in turn
            };
            var since = System.Diagnostics.Stopwatch.StartNew();
            while ((made < 8 || between < 3) && since.ElapsedMilliseconds < LimitMs)
            {
                Thread.Sleep(4);
                Player.Frame(1f / 120);
                if (fps == 0 && made >= 8) break;
            }
            Player.Stop();
            foreach (var line in Debug.Said) Console.Error.WriteLine(line);
            Console.WriteLine("{\"held\": " + held + ", \"made\": " + made + ", \"between\": " + between + "}");
            return 0;
        }

        /// <summary>Which shader and property a project's pipeline gets; what is said when a build has none.</summary>
        public static int Shaders()
        {
            Action<string, string[], bool> look = (name, known, pipeline) =>
            {
                Shader.Known = known;
                UnityEngine.Rendering.GraphicsSettings.currentRenderPipeline =
                    pipeline ? new UnityEngine.Rendering.RenderPipelineAsset() : null;
                var material = PictureMaterial.New();
                Console.WriteLine(name + ": " + (material == null ? "none" : material.name + " " + PictureMaterial.PropertyOf(material)));
            };
            look("built-in", new[] { "Unlit/Texture" }, false);
            look("urp", new[] { "Unlit/Texture", "Universal Render Pipeline/Unlit" }, true);
            look("hdrp", new[] { "Unlit/Texture", "HDRP/Unlit" }, true);
            look("another", new[] { "Unlit/Texture" }, true);
            look("build", new string[0], true);
            foreach (var line in Debug.Said) Console.WriteLine(line);
            return 0;
        }

        static void Put(object script, string field, object value)
        {
            script.GetType().GetField(field, System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic)
                .SetValue(script, value);
        }

        static void Pause(int index)
        {
            Console.WriteLine("picture " + index);
            Console.Out.Flush();
            if (Console.ReadLine() == null) throw new EndOfStreamException();
        }

        static void Tell(System.Threading.Tasks.Task<Finished> finished, bool resumed)
        {
            if (!finished.Wait(LimitMs)) throw new TimeoutException("no terminal answer");
            Console.WriteLine("{\"outcome\": \"" + finished.Result.Outcome + "\", \"frames\": " + finished.Result.Frames
                + ", \"seed\": " + finished.Result.Seed + ", \"resumed\": " + (resumed ? "true" : "false") + "}");
        }
    }
}
