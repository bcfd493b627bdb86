// What a person does by a README: menus, components, fields by the words that the Inspector shows, and Play.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text.RegularExpressions;
using System.Threading;
using UnityEngine;

namespace TexBridge.Check
{
    public static class Walk
    {
        const int LimitMs = 60000;
        const BindingFlags Own = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

        /// <summary>Steps from the third argument on: `GameObject > ...`, `Add Component > ...`, `Label=value` of a field of the
        /// component added last, `Label` of one that must be there, `Play`, which writes what is in the texture at last.</summary>
        public static int Run(string file, string[] arguments)
        {
            GameObject selected = null;
            MonoBehaviour component = null;
            var waiting = new List<MonoBehaviour>();
            foreach (var step in arguments.Skip(2))
            {
                var value = step.Split(new[] { '=' }, 2);
                if (step == "GameObject > Create Empty") selected = new GameObject("GameObject");
                else if (step == "GameObject > 3D Object > Quad") selected = GameObject.CreatePrimitive(PrimitiveType.Quad);
                else if (step.StartsWith("Add Component > "))
                {
                    component = Add(selected, step.Substring("Add Component > ".Length).Replace(" > ", "/"));
                    component.enabled = false; // nothing runs before Play
                    waiting.Add(component);
                }
                else if (step == "Play")
                {
                    foreach (var one in waiting) one.enabled = true;
                    PlayOn(file);
                }
                else Put(component, value[0], value.Length > 1 ? value[1] : null);
            }
            Player.Stop();
            foreach (var line in Debug.Said) Console.WriteLine(line);
            return 0;
        }

        static MonoBehaviour Add(GameObject owner, string menu)
        {
            foreach (var type in typeof(TexBridgeConnection).Assembly.GetTypes())
            {
                var found = (AddComponentMenu)type.GetCustomAttributes(typeof(AddComponentMenu), false).FirstOrDefault();
                if (found == null || found.componentMenu != menu) continue;
                return (MonoBehaviour)typeof(GameObject).GetMethod("AddComponent").MakeGenericMethod(type).Invoke(owner, null);
            }
            throw new Exception("no menu Add Component > " + menu);
        }

        static void Put(MonoBehaviour component, string label, string value)
        {
            foreach (var field in component.GetType().GetFields(Own))
            {
                if (field.GetCustomAttributes(typeof(SerializeField), false).Length == 0) continue;
                var shown = Regex.Replace(field.Name, "(?<=[a-z0-9])(?=[A-Z])", " ");
                if (char.ToUpperInvariant(shown[0]) + shown.Substring(1) != label) continue;
                if (value != null) field.SetValue(component, Convert.ChangeType(value, field.FieldType));
                return;
            }
            throw new Exception(component.GetType().Name + " shows no " + label);
        }

        static void PlayOn(string file)
        {
            var texture = Player.All().OfType<TexBridgeTexture>().Single();
            var recorder = Player.All().OfType<TexBridgeRecorder>().FirstOrDefault();
            bool shown = false, ended = recorder == null;
            texture.Shown += header => shown |= header.Number > 0;
            if (recorder != null) recorder.Ended += answer => ended = answer.IsDone;
            var since = System.Diagnostics.Stopwatch.StartNew();
            while (!shown || !ended)
            {
                if (since.ElapsedMilliseconds > LimitMs) throw new TimeoutException(string.Join("; ", Debug.Said.ToArray()));
                Thread.Sleep(5);
                Player.Frame(1f / 60);
            }
            File.WriteAllBytes(file, texture.Texture.GetRawTextureData<byte>().Items());
        }
    }
}
