// Plays the package's samples against the stub, as a person would with Unity: an empty GameObject, the script, Play.
using System;
using System.IO;
using System.Linq;
using System.Threading;
using TexBridge.Editor;
using UnityEditor;
using UnityEngine;

namespace TexBridge.Check
{
    public static class Play
    {
        const int LimitMs = 60000;

        public static int Live(string address, string file)
        {
            var sample = Begin<LiveQuad>(address);
            TexBridgeTexture texture = null;
            Until("a picture", () => (texture = Find<TexBridgeTexture>(sample)) != null && texture.Texture != null);
            var first = texture.Texture;
            var quad = texture.GetComponent<Renderer>();
            var block = new MaterialPropertyBlock();
            quad.GetPropertyBlock(block);
            Check(block.Textures["_MainTex"] == first, "the texture is on the quad");
            Check(Application.runInBackground, "runInBackground");

            // A person moves a slider: another picture, in the same texture.
            var before = first.GetRawTextureData<byte>().Items().ToArray();
            Until("sliders", () => Sliders(sample) > 0);
            GUILayout.Moved = 0.3f;
            Player.Frame(1f / 60);
            GUILayout.Moved = null;
            Until("another picture", () => !before.SequenceEqual(first.GetRawTextureData<byte>().Items()));
            // Sliders are sent one by one, so pictures of some of them may come first: until that of a run behind them all.
            uint shown = 0;
            texture.Shown += header => shown = header.Number;
            var run = TexBridgeConnection.First.Client.Run(texture.Stream);
            Until("the run's answer", () => run.Finished.IsCompleted);
            Check(run.Finished.Result.Outcome == "done", "a picture of all sliders");
            Until("the run's picture", () => shown >= run.Finished.Result.Number);
            Check(texture.Texture == first && Texture2D.Made == 1, "one texture of one size");
            File.WriteAllBytes(file, first.GetRawTextureData<byte>().Items());
            return End();
        }

        /// <summary>The project itself: nothing in the scene, Play.</summary>
        public static int Demo(string address, string file)
        {
            GuardReloads();
            var demo = System.Reflection.Assembly.LoadFrom("Assets.dll").GetType("PlayDemo");
            demo.GetMethod("Build", System.Reflection.BindingFlags.Static | System.Reflection.BindingFlags.NonPublic)
                .Invoke(null, null);
            TexBridgeConnection.First.Address = address; // the test's bridge is at another port
            var texture = Player.All().OfType<TexBridgeTexture>().Single();
            Until("a picture of main", () => Shown(texture) > 0);
            File.WriteAllBytes(file, texture.Texture.GetRawTextureData<byte>().Items());
            return End();
        }

        public static int Card(string address, string file)
        {
            var sample = Begin<TestCardSample>(address);
            TexBridgeTexture texture = null;
            Until("the card", () => (texture = Find<TexBridgeTexture>(sample)) != null && texture.Texture != null
                && texture.Texture.width == 512 && Shown(texture) > 0);
            File.WriteAllBytes(file, texture.Texture.GetRawTextureData<byte>().Items());
            Check(texture.Texture.format == TextureFormat.RGBA32 && !texture.Texture.Linear, "an sRGB texture");
            return End();
        }

        /// <summary>The camera sees blue below and red above; the tint is made invisible, so both come back.</summary>
        public static int Camera(string address, string file)
        {
            var sample = Begin<CameraImg2Img>(address);
            var control = new GameObject("amount").AddComponent<TexBridgeParameter>();
            control.Stream = "unity_camera";
            control.Parameter = "amount";
            control.Number = 0;
            Player.Frame(1f / 60);
            var camera = Find<TexBridgeCamera>(sample);
            var seen = camera.Source.Pixels;
            for (var place = 0; place < seen.Length; place += 4)
            {
                var upper = place >= seen.Length / 2; // a camera's rows come lowest first
                seen[place] = upper ? (byte)255 : (byte)0;
                seen[place + 2] = upper ? (byte)0 : (byte)255;
                seen[place + 3] = 255;
            }
            var texture = Find<TexBridgeTexture>(sample);
            Until("the camera's picture", () =>
            {
                if (texture.Texture == null || camera.Sent == 0) return false;
                var made = texture.Texture.GetRawTextureData<byte>().Items();
                return made[2] > 200 && made[0] < 50 && made[made.Length - 4] > 200 && made[made.Length - 2] < 50;
            });
            File.WriteAllBytes(file, texture.Texture.GetRawTextureData<byte>().Items());
            return End();
        }

        /// <summary>A recording through the component, frame-locked; the texture is the picture of its index.</summary>
        public static int Locked(string address, string file)
        {
            GuardReloads();
            var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
            connection.Address = address;
            var texture = GameObject.CreatePrimitive(PrimitiveType.Quad).AddComponent<TexBridgeTexture>();
            texture.Stream = "unity_locked";
            texture.Workflow = "gradient";
            texture.Mode = "oneshot";
            texture.SetSize(64, 48);
            using (var output = File.Create(file))
                for (var index = 0; index < 10; index++)
                {
                    Player.Frame(1f / 24);
                    texture.RequestAndWait(index, LimitMs, Frames.Values(index), (ulong)index);
                    var pixels = texture.Texture.GetRawTextureData<byte>().Items();
                    output.Write(pixels, 0, pixels.Length);
                }
            return End();
        }

        /// <summary>Play ends before the bridge has said whether the stream is open, and after it was asked: a line tells.</summary>
        public static int Unanswered(string address)
        {
            GuardReloads();
            var connection = new GameObject("TexBridge").AddComponent<TexBridgeConnection>();
            connection.Address = address;
            var texture = GameObject.CreatePrimitive(PrimitiveType.Quad).AddComponent<TexBridgeTexture>();
            texture.Stream = "unity_unanswered";
            texture.Workflow = "gradient";
            Player.Frame(1f / 24);
            Check(connection.Client.WaitConnected(LimitMs), "greeted");
            Player.Frame(1f / 24);
            Console.ReadLine();
            return End();
        }

        /// <summary>OSC by the component, and a bundle by its sender.</summary>
        public static int Osc(string host, int port)
        {
            var osc = new GameObject("OSC").AddComponent<TexBridgeOsc>();
            osc.Host = host;
            osc.Port = port;
            osc.SendNumber("noise", 0.25f);
            osc.SendNormalized("blur", 0.5f);
            osc.SendText("prompt", "a red fox é");
            osc.SendColour("top_left", new Color(1, 0.5f, 0.25f, 1));
            var writer = osc.Sender.Writer;
            writer.BeginBundle();
            writer.Begin("/texbridge/main/top_right", "iii");
            writer.Int(255);
            writer.Int(0);
            writer.Int(0);
            writer.Begin("/texbridge/main/run", "");
            Check(osc.Sender.Send(), "sent");
            Player.Stop();
            return 0;
        }

        /// <summary>The editor window, drawn until it shows what the bridge has; then a parameter is put into the scene.</summary>
        public static int Window(string address)
        {
            EditorGUILayout.Address = address;
            var window = EditorWindow.GetWindow<TexBridgeWindow>("TexBridge");
            Player.Call(window, "OnEnable");
            GUILayout.Pressed = "Connect";
            Player.Call(window, "OnGUI");
            GUILayout.Pressed = null;
            Until("the workflow's parameters", () =>
            {
                EditorGUILayout.Drawn.Clear();
                Player.Call(window, "Update");
                Player.Call(window, "OnGUI");
                return EditorGUILayout.Drawn.Any(line => line.StartsWith("noise  (Clouds) | float 0 .. 0.5"))
                    && !EditorGUILayout.Drawn.Contains("...");
            });
            GUILayout.Pressed = "Add to scene";
            Player.Call(window, "OnGUI");
            GUILayout.Pressed = null;
            Check(Player.All().OfType<TexBridgeParameter>().Any(
                made => made.Stream == "main" && made.Parameter == "noise" && made.Number > 0), "added to the scene");
            foreach (var line in EditorGUILayout.Drawn) Console.WriteLine(line);
            AssemblyReloadEvents.Reload();
            EditorGUILayout.Drawn.Clear();
            Player.Call(window, "OnGUI");
            Check(EditorGUILayout.Drawn.Contains("Not connected"), "disconnected before a reload");
            return End();
        }

        static T Begin<T>(string address) where T : MonoBehaviour
        {
            GuardReloads();
            var sample = new GameObject("Sample").AddComponent<T>();
            // As typed into the inspector.
            typeof(T).GetField("address", System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic)
                .SetValue(sample, address);
            Player.Frame(1f / 60);
            return sample;
        }

        // The editor does this with what is marked InitializeOnLoad.
        static void GuardReloads()
        {
            System.Runtime.CompilerServices.RuntimeHelpers.RunClassConstructor(
                typeof(TexBridgeWindow).Assembly.GetType("TexBridge.Editor.ReloadGuard").TypeHandle);
        }

        // Scripts are thrown away while playing: no thread of the client may go on.
        static int End()
        {
            var connection = TexBridgeConnection.First;
            AssemblyReloadEvents.Reload();
            if (connection != null) Check(connection.Client == null, "closed before a reload");
            Player.Stop();
            Thread.Sleep(100); // tasks that have just ended may still complain
            foreach (var line in Debug.Said) Console.WriteLine(line);
            Check(!Debug.Said.Any(line => line.StartsWith("error")), "nothing was complained of");
            return 0;
        }

        static T Find<T>(MonoBehaviour sample) where T : Component
        {
            return Player.All().OfType<T>().FirstOrDefault();
        }

        static int Sliders(LiveQuad sample)
        {
            var field = typeof(LiveQuad).GetField(
                "sliders", System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic);
            return ((System.Collections.ICollection)field.GetValue(sample)).Count;
        }

        // Pictures that are no placeholder.
        static int Shown(TexBridgeTexture texture)
        {
            var field = typeof(TexBridgeTexture).GetField(
                "Shown", System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic);
            if (field.GetValue(texture) == null)
            {
                shown = 0;
                texture.Shown += header => shown += header.Number > 0 ? 1 : 0;
            }
            return shown;
        }

        static int shown;

        static void Until(string what, Func<bool> condition)
        {
            var since = System.Diagnostics.Stopwatch.StartNew();
            while (!condition())
            {
                if (since.ElapsedMilliseconds > LimitMs)
                    throw new TimeoutException(what + "; said: " + string.Join("; ", Debug.Said.ToArray()));
                Thread.Sleep(5); // an engine's own pace
                Player.Frame(1f / 60);
            }
        }

        static void Check(bool condition, string what)
        {
            if (!condition) throw new Exception("not so: " + what + "; said: " + string.Join("; ", Debug.Said.ToArray()));
        }
    }
}
