// What the package uses of UnityEngine, with just enough life in it that components run: GameObjects, the order of
// Update and LateUpdate, textures that keep their bytes. Signatures are those of Unity's scripting reference.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using Unity.Collections;

namespace Unity.Collections
{
    public struct NativeArray<T> where T : struct
    {
        internal T[] Memory;

        /// <summary>Not Unity's: the memory itself.</summary>
        public T[] Items() { return Memory; }

        public int Length { get { return Memory.Length; } }

        public static void Copy(T[] src, int srcIndex, NativeArray<T> dst, int dstIndex, int length)
        {
            Array.Copy(src, srcIndex, dst.Memory, dstIndex, length);
        }

        public void CopyTo(T[] array)
        {
            if (array.Length != Memory.Length) throw new ArgumentException("array.Length does not match the length of this instance");
            Array.Copy(Memory, array, Memory.Length);
        }
    }
}

namespace UnityEngine
{
    public class Object
    {
        public string name { get; set; }
        internal bool destroyed;

        public static T[] FindObjectsOfType<T>() where T : Object { return Player.All().OfType<T>().ToArray(); }

        public static void Destroy(Object obj)
        {
            obj.destroyed = true;
        }

        public static bool operator ==(Object a, Object b)
        {
            var left = ReferenceEquals(a, null) || a.destroyed;
            var right = ReferenceEquals(b, null) || b.destroyed;
            return left && right || ReferenceEquals(a, b);
        }

        public static bool operator !=(Object a, Object b) { return !(a == b); }
        public override bool Equals(object other) { return ReferenceEquals(this, other); }
        public override int GetHashCode() { return base.GetHashCode(); }
    }

    public class Component : Object
    {
        public GameObject gameObject { get; internal set; }
        public Transform transform { get { return gameObject.transform; } }
        public T GetComponent<T>() where T : class { return gameObject.GetComponent<T>(); }
    }

    public class Behaviour : Component
    {
        public bool enabled { get { return isActiveAndEnabled; } set { Player.Enable(this, value); } }
        public bool isActiveAndEnabled { get; internal set; }
    }

    public class MonoBehaviour : Behaviour
    {
        internal bool started;
    }

    public sealed class GameObject : Object
    {
        internal readonly List<Component> components = new List<Component>();

        public Transform transform { get; private set; }

        public GameObject(string name)
        {
            this.name = name;
            transform = AddComponent<Transform>();
        }

        public static GameObject CreatePrimitive(PrimitiveType type)
        {
            var made = new GameObject(type.ToString());
            made.AddComponent<Renderer>();
            return made;
        }

        public T AddComponent<T>() where T : Component
        {
            return (T)Player.Add(this, typeof(T));
        }

        public T GetComponent<T>() where T : class
        {
            return components.OfType<T>().FirstOrDefault();
        }
    }

    public sealed class Transform : Component
    {
        public Vector3 position { get; set; }
        public void Rotate(float x, float y, float z) { }
    }

    public enum PrimitiveType { Cube, Quad }

    public class Renderer : Component
    {
        MaterialPropertyBlock properties = new MaterialPropertyBlock();
        public Material material { get; set; }
        public Material sharedMaterial { get { return material; } }
        public void GetPropertyBlock(MaterialPropertyBlock block) { block.Textures = new Dictionary<string, Texture>(properties.Textures); }
        public void SetPropertyBlock(MaterialPropertyBlock block) { properties = new MaterialPropertyBlock { Textures = new Dictionary<string, Texture>(block.Textures) }; }
    }

    public sealed class MaterialPropertyBlock
    {
        public Dictionary<string, Texture> Textures = new Dictionary<string, Texture>();
        public void SetTexture(string name, Texture value) { Textures[name] = value; }
    }

    public sealed class Shader : Object
    {
        /// <summary>Not Unity's: what a project, or a build, has.</summary>
        public static string[] Known = { "Unlit/Texture" };
        public static Shader Find(string name) { return Known.Contains(name) ? new Shader { name = name } : null; }
    }

    public sealed class Material : Object
    {
        public Texture mainTexture { get; set; }
        public Material(Shader shader) { name = shader.name; }

        // URP's and HDRP's shaders have a _MainTex for old materials, beside the one that is drawn.
        public bool HasProperty(string name)
        {
            return name == "_MainTex" || name == "_BaseMap" && this.name.StartsWith("Universal")
                || name == "_UnlitColorMap" && this.name == "HDRP/Unlit";
        }
    }

    public sealed class Camera : Behaviour
    {
        public static Camera main { get { return null; } }
        public RenderTexture targetTexture { get; set; }
    }

    public enum TextureWrapMode { Repeat, Clamp }

    public enum TextureFormat
    {
        RGB24 = 3, RGBA32 = 4, R16 = 9, DXT1 = 10, DXT5 = 12, BGRA32 = 14, RHalf = 15, RGBAHalf = 17, RFloat = 18,
        RGBAFloat = 20, BC7 = 25, R8 = 63,
    }

    public class Texture : Object
    {
        public int width { get; protected set; }
        public int height { get; protected set; }
        public int mipmapCount { get; protected set; }
        public TextureWrapMode wrapMode { get; set; }
    }

    public sealed class RenderTexture : Texture
    {
        public byte[] Pixels;

        public RenderTexture(int width, int height, int depth)
        {
            this.width = width;
            this.height = height;
            Pixels = new byte[width * height * 4];
        }
    }

    public sealed class Texture2D : Texture
    {
        public static int Made;
        public readonly TextureFormat format;
        public readonly bool Linear;
        public int Applied;
        readonly byte[] raw;

        public Texture2D(int width, int height) : this(width, height, TextureFormat.RGBA32, true, false) { }

        public Texture2D(int width, int height, TextureFormat textureFormat, bool mipChain, bool linear)
        {
            Made++;
            this.width = width;
            this.height = height;
            format = textureFormat;
            Linear = linear;
            mipmapCount = 1;
            if (mipChain)
                for (var side = Math.Max(width, height); side > 1; side /= 2) mipmapCount++;
            var bytes = 0;
            for (var level = 0; level < mipmapCount; level++)
                bytes += LevelBytes(Math.Max(1, width >> level), Math.Max(1, height >> level));
            raw = new byte[bytes];
        }

        int LevelBytes(int wide, int high)
        {
            var blocks = (wide + 3) / 4 * ((high + 3) / 4);
            switch (format)
            {
                case TextureFormat.DXT1: return blocks * 8;
                case TextureFormat.DXT5: case TextureFormat.BC7: return blocks * 16;
                case TextureFormat.R8: return wide * high;
                case TextureFormat.R16: case TextureFormat.RHalf: return wide * high * 2;
                case TextureFormat.RGB24: return wide * high * 3;
                case TextureFormat.RGBAHalf: return wide * high * 8;
                case TextureFormat.RGBAFloat: return wide * high * 16;
                default: return wide * high * 4;
            }
        }

        public NativeArray<T> GetRawTextureData<T>() where T : struct
        {
            return new NativeArray<T> { Memory = (T[])(object)raw };
        }

        public void Apply(bool updateMipmaps) { Applied++; }
    }

    public static class ImageConversion
    {
        public static bool LoadImage(this Texture2D tex, byte[] data) { tex.Applied++; return data.Length > 0; }
    }

    public struct Vector3
    {
        public float x, y, z;
        public Vector3(float x, float y, float z) { this.x = x; this.y = y; this.z = z; }
    }

    public struct Vector2
    {
        public float x, y;
    }

    public struct Vector4
    {
        public float x, y, z, w;
        public static Vector4 zero { get { return new Vector4(); } }
        public float this[int index]
        {
            get { return index == 0 ? x : index == 1 ? y : index == 2 ? z : w; }
            set
            {
                if (index == 0) x = value;
                else if (index == 1) y = value;
                else if (index == 2) z = value;
                else w = value;
            }
        }
    }

    public struct Color
    {
        public float r, g, b, a;
        public Color(float r, float g, float b, float a) { this.r = r; this.g = g; this.b = b; this.a = a; }
        public static Color white { get { return new Color(1, 1, 1, 1); } }
    }

    public static class Mathf
    {
        public static float Max(float a, float b) { return Math.Max(a, b); }
        public static int RoundToInt(float f) { return (int)Math.Round(f); }
    }

    public static class Time
    {
        public static float unscaledTime { get; internal set; }
        public static float deltaTime { get { return 1f / 60; } }
        public static int captureFramerate { get; set; }
    }

    public sealed class AnimationCurve
    {
        readonly float timeStart, valueStart, timeEnd, valueEnd;

        AnimationCurve(float timeStart, float valueStart, float timeEnd, float valueEnd)
        {
            this.timeStart = timeStart;
            this.valueStart = valueStart;
            this.timeEnd = timeEnd;
            this.valueEnd = valueEnd;
        }

        public static AnimationCurve Linear(float timeStart, float valueStart, float timeEnd, float valueEnd)
        {
            return new AnimationCurve(timeStart, valueStart, timeEnd, valueEnd);
        }

        public float Evaluate(float time)
        {
            var part = Math.Max(0, Math.Min(1, (time - timeStart) / (timeEnd - timeStart)));
            return valueStart + (valueEnd - valueStart) * part;
        }
    }

    /// <summary>Black to white; Unity's new one is white.</summary>
    public sealed class Gradient
    {
        public Color Evaluate(float time) { return new Color(time, time, time, 1); }
    }

    public static class ScreenCapture
    {
        /// <summary>Not Unity's: what takes the picture, at the end of the frame.</summary>
        public static Action<string> Take;
        public static void CaptureScreenshot(string filename) { Player.AtEnd.Add(() => Take(filename)); }
    }

    public static class Application
    {
        public static bool runInBackground { get; set; }
        public static string unityVersion { get { return "stub"; } }
    }

    public static class Debug
    {
        public static readonly List<string> Said = new List<string>();
        public static void LogError(object message, Object context = null) { lock (Said) Said.Add("error: " + message); }
        public static void LogWarning(object message, Object context = null) { lock (Said) Said.Add("warning: " + message); }
    }

    public static class GUILayout
    {
        public static string Pressed;
        public static float? Moved;
        public static void Label(string text) { }
        public static bool Button(string text) { return text == Pressed; }
        public static float HorizontalSlider(float value, float leftValue, float rightValue) { return Moved ?? value; }
    }

    public enum RuntimeInitializeLoadType { AfterSceneLoad, BeforeSceneLoad }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class RuntimeInitializeOnLoadMethodAttribute : Attribute
    {
        public RuntimeInitializeOnLoadMethodAttribute(RuntimeInitializeLoadType loadType) { }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class SerializeField : Attribute { }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class TooltipAttribute : Attribute { public TooltipAttribute(string tooltip) { } }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class AddComponentMenu : Attribute
    {
        public readonly string componentMenu;
        public AddComponentMenu(string menuName) { componentMenu = menuName; }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DefaultExecutionOrder : Attribute
    {
        public readonly int order;
        public DefaultExecutionOrder(int order) { this.order = order; }
    }

    /// <summary>Not Unity's: plays the scene, one frame at a time.</summary>
    public static class Player
    {
        static readonly List<MonoBehaviour> scripts = new List<MonoBehaviour>();
        public static readonly List<Action> Later = new List<Action>();
        public static readonly List<Action> AtEnd = new List<Action>();

        internal static Component Add(GameObject owner, Type type)
        {
            var made = (Component)Activator.CreateInstance(type);
            made.gameObject = owner;
            owner.components.Add(made);
            var script = made as MonoBehaviour;
            if (script == null) return made;
            scripts.Add(script);
            Enable(script, true);
            return made;
        }

        internal static void Enable(Behaviour script, bool on)
        {
            if (script.isActiveAndEnabled == on) return;
            script.isActiveAndEnabled = on;
            Call(script, on ? "OnEnable" : "OnDisable");
        }

        public static void Frame(float seconds)
        {
            Time.unscaledTime += seconds;
            foreach (var later in Later.ToArray()) later();
            Later.Clear();
            var ordered = scripts.Where(script => script.isActiveAndEnabled).OrderBy(Order).ToList();
            foreach (var script in ordered.Where(script => !script.started))
            {
                script.started = true;
                Call(script, "Start");
            }
            foreach (var script in ordered) Call(script, "Update");
            foreach (var script in ordered) Call(script, "LateUpdate");
            foreach (var script in ordered) Call(script, "OnGUI");
            foreach (var action in AtEnd.ToArray()) action();
            AtEnd.Clear();
        }

        public static IEnumerable<MonoBehaviour> All() { return scripts; }

        public static void Stop()
        {
            foreach (var script in scripts.ToArray())
            {
                Enable(script, false);
                Call(script, "OnDestroy");
            }
            scripts.Clear();
        }

        static int Order(MonoBehaviour script)
        {
            var attribute = script.GetType().GetCustomAttributes(typeof(DefaultExecutionOrder), false).FirstOrDefault();
            return attribute == null ? 0 : ((DefaultExecutionOrder)attribute).order;
        }

        public static void Call(object script, string name)
        {
            var method = script.GetType().GetMethod(
                name, BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public, null, Type.EmptyTypes, null);
            if (method == null) return;
            try
            {
                method.Invoke(script, null);
            }
            catch (TargetInvocationException error)
            {
                throw new InvalidOperationException(script.GetType().Name + "." + name, error.InnerException);
            }
        }
    }
}

namespace UnityEngine.Rendering
{
    public sealed class RenderPipelineAsset : Object { }

    public static class GraphicsSettings
    {
        public static RenderPipelineAsset currentRenderPipeline { get; set; }
    }

    public struct AsyncGPUReadbackRequest
    {
        internal RenderTexture Source;
        public bool hasError { get { return false; } }
        public int width { get { return Source.width; } }
        public int height { get { return Source.height; } }
        public NativeArray<T> GetData<T>(int layer = 0) where T : struct
        {
            return new NativeArray<T> { Memory = (T[])(object)Source.Pixels };
        }
    }

    public static class AsyncGPUReadback
    {
        public static AsyncGPUReadbackRequest Request(
            Texture src, int mipIndex, TextureFormat dstFormat, Action<AsyncGPUReadbackRequest> callback)
        {
            var request = new AsyncGPUReadbackRequest { Source = (RenderTexture)src };
            Player.Later.Add(() => callback(request));
            return request;
        }
    }
}
