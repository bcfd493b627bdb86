using System.Collections.Generic;
using System.Threading.Tasks;
using UnityEditor;
using UnityEngine;

namespace TexBridge.Editor
{
    /// <summary>Window > TexBridge: what a running bridge has, streams, workflows and their parameters, with a button that
    /// puts a parameter into the scene. It needs no play mode.</summary>
    public sealed class TexBridgeWindow : EditorWindow
    {
        string address = "127.0.0.1:9402";
        string token = "";
        TexBridgeClient client;
        readonly Dictionary<string, Task<Described>> described = new Dictionary<string, Task<Described>>();
        readonly HashSet<string> open = new HashSet<string>();
        Vector2 scroll;
        string fault = "";

        [MenuItem("Window/TexBridge")]
        public static void ShowWindow()
        {
            GetWindow<TexBridgeWindow>("TexBridge");
        }

        void OnEnable()
        {
            AssemblyReloadEvents.beforeAssemblyReload += Disconnect;
        }

        void OnDisable()
        {
            AssemblyReloadEvents.beforeAssemblyReload -= Disconnect;
            Disconnect();
        }

        void Connect()
        {
            Disconnect();
            fault = "";
            try
            {
                client = new TexBridgeClient(new ClientOptions
                {
                    Address = address, Token = token, Client = "texbridge-unity 0.1.0 (editor)", SharedMemory = false,
                });
                client.Start();
            }
            catch (System.ArgumentException error)
            {
                client = null;
                fault = error.Message;
            }
        }

        void Disconnect()
        {
            var old = client;
            client = null;
            described.Clear();
            if (old != null) old.Dispose();
        }

        void Update()
        {
            if (client == null) return;
            LinkEvent happened;
            while (client.TryTakeEvent(out happened))
            {
                if (happened.Error != null) fault = happened.Error.Message;
                else if (happened.Kind == LinkEventKind.Connected)
                {
                    fault = "";
                    described.Clear();
                }
            }
            Repaint();
        }

        void OnGUI()
        {
            address = EditorGUILayout.TextField("Bridge", address);
            token = EditorGUILayout.PasswordField("Token", token);
            if (GUILayout.Button(client == null ? "Connect" : "Connect again")) Connect();
            if (fault.Length > 0) EditorGUILayout.HelpBox(fault, MessageType.Warning);
            if (client == null || client.Welcome == null || !client.IsConnected)
            {
                EditorGUILayout.LabelField(client == null ? "Not connected" : "No bridge answers yet");
                return;
            }
            var welcome = client.Welcome;
            EditorGUILayout.LabelField(welcome.Server, string.Join(" ", welcome.Formats.ToArray()));
            scroll = EditorGUILayout.BeginScrollView(scroll);
            EditorGUILayout.LabelField("Streams", EditorStyles.boldLabel);
            foreach (var stream in welcome.Streams)
            {
                var name = stream.Text("name", "");
                var title = name + "  (" + stream.Text("workflow", "") + ", " + stream.Text("mode", "") + ", "
                    + stream.Text("state", "") + ")";
                Part("stream " + name, title, name);
            }
            EditorGUILayout.LabelField("Workflows", EditorStyles.boldLabel);
            foreach (var workflow in welcome.Workflows) Part("workflow " + workflow, workflow, null);
            EditorGUILayout.EndScrollView();
        }

        void Part(string key, string title, string stream)
        {
            var shown = EditorGUILayout.Foldout(open.Contains(key), title);
            if (!shown)
            {
                open.Remove(key);
                return;
            }
            open.Add(key);
            Task<Described> asked;
            if (!described.TryGetValue(key, out asked))
            {
                asked = stream != null
                    ? client.DescribeStream(stream)
                    : client.DescribeWorkflow(key.Substring("workflow ".Length));
                described[key] = asked;
            }
            if (asked.IsFaulted) EditorGUILayout.HelpBox(asked.Exception.InnerException.Message, MessageType.Warning);
            else if (!asked.IsCompleted) EditorGUILayout.LabelField("...");
            else
                foreach (var parameter in asked.Result.Parameters) Row(parameter, stream);
        }

        static void Row(ParameterInfo parameter, string stream)
        {
            EditorGUILayout.BeginHorizontal();
            EditorGUILayout.LabelField(parameter.Name + "  (" + parameter.Label + ")", Kind(parameter));
            if (stream != null && parameter.Type != "image" && GUILayout.Button("Add to scene"))
                AddToScene(parameter, stream);
            EditorGUILayout.EndHorizontal();
        }

        static string Kind(ParameterInfo parameter)
        {
            var range = parameter.Min.HasValue && parameter.Max.HasValue
                ? " " + parameter.Min + " .. " + parameter.Max
                : "";
            return parameter.Type + range + " " + parameter.Unit + string.Join(", ", parameter.Choices.ToArray());
        }

        static void AddToScene(ParameterInfo parameter, string stream)
        {
            var made = new GameObject(stream + " " + parameter.Name);
            var component = made.AddComponent<TexBridgeParameter>();
            component.Stream = stream;
            component.Parameter = parameter.Name;
            Begin(component, parameter);
            Undo.RegisterCreatedObjectUndo(made, "Add " + parameter.Name);
            Selection.activeGameObject = made;
        }

        // What holds now, so that adding a control moves nothing.
        static void Begin(TexBridgeParameter component, ParameterInfo parameter)
        {
            var value = parameter.Value ?? parameter.Default;
            var numbers = value as List<object>;
            var at = Vector4.zero;
            for (var place = 0; numbers != null && place < numbers.Count && place < 4; place++)
                at[place] = System.Convert.ToSingle(numbers[place]);
            switch (parameter.Type)
            {
                case "string":
                case "choice": component.Text = Map.AsText(value) ?? ""; break;
                case "color": component.Colour = new Color(at.x, at.y, at.z, at.w); break;
                case "vec2":
                case "vec3":
                case "vec4":
                    component.Vector = at;
                    component.ValueKind = parameter.Type == "vec2" ? TexBridgeParameter.Kind.Vector2
                        : parameter.Type == "vec3" ? TexBridgeParameter.Kind.Vector3
                        : TexBridgeParameter.Kind.Vector4;
                    break;
                default:
                    component.Number = value is bool ? ((bool)value ? 1 : 0) : System.Convert.ToSingle(value ?? 0);
                    if (parameter.Type == "bool") component.ValueKind = TexBridgeParameter.Kind.Toggle;
                    else if (parameter.Type != "float") component.ValueKind = TexBridgeParameter.Kind.Integer;
                    break;
            }
        }
    }
}
