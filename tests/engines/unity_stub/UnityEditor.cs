// What the package's editor part uses of UnityEditor. Signatures are those of Unity's scripting reference.
using System;
using System.Collections.Generic;
using UnityEngine;

namespace UnityEditor
{
    public class EditorWindow : UnityEngine.Object
    {
        public static T GetWindow<T>(string title) where T : EditorWindow, new() { return new T { name = title }; }
        public void Repaint() { }
    }

    [AttributeUsage(AttributeTargets.Method)]
    public sealed class MenuItem : Attribute { public MenuItem(string itemName) { } }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class InitializeOnLoadAttribute : Attribute { }

    public static class AssemblyReloadEvents
    {
        public delegate void AssemblyReloadCallback();
        public static event AssemblyReloadCallback beforeAssemblyReload;
        public static void Reload() { if (beforeAssemblyReload != null) beforeAssemblyReload(); }
    }

    public static class EditorApplication
    {
        public static event Action quitting;
        public static void Quit() { if (quitting != null) quitting(); }
    }

    public enum MessageType { None, Info, Warning, Error }

    public sealed class GUIStyle { }

    public static class EditorStyles
    {
        public static GUIStyle boldLabel { get { return new GUIStyle(); } }
    }

    /// <summary>Keeps what was drawn, and answers as a person would: text is left as it is, foldouts are opened.</summary>
    public static class EditorGUILayout
    {
        public static readonly List<string> Drawn = new List<string>();
        public static string Address;
        public static string TextField(string label, string text) { return Address ?? text; }
        public static string PasswordField(string label, string password) { return password; }
        public static void HelpBox(string message, MessageType type) { Drawn.Add(type + ": " + message); }
        public static void LabelField(string label) { Drawn.Add(label); }
        public static void LabelField(string label, string label2) { Drawn.Add(label + " | " + label2); }
        public static void LabelField(string label, GUIStyle style) { Drawn.Add(label); }
        public static bool Foldout(bool foldout, string content) { Drawn.Add(content); return true; }
        public static void BeginHorizontal() { }
        public static void EndHorizontal() { }
        public static Vector2 BeginScrollView(Vector2 scrollPosition) { return scrollPosition; }
        public static void EndScrollView() { }
    }

    public static class Undo
    {
        public static void RegisterCreatedObjectUndo(UnityEngine.Object objectToUndo, string name) { }
    }

    public static class Selection
    {
        public static GameObject activeGameObject { get; set; }
    }
}
