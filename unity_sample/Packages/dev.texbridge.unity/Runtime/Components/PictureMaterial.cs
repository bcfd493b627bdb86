using UnityEngine;
using UnityEngine.Rendering;

namespace TexBridge
{
    /// <summary>Materials that show a picture as it is, in whichever render pipeline the project has.</summary>
    public static class PictureMaterial
    {
        // Shaders of URP and HDRP have a _MainTex too, which they keep for old materials and don't draw: so it comes last.
        static readonly string[] Properties = { "_BaseMap", "_BaseColorMap", "_UnlitColorMap", "_MainTex" };
        static readonly string[] PipelineShaders = { "Universal Render Pipeline/Unlit", "HDRP/Unlit", "Unlit/Texture" };
        static readonly string[] BuiltInShaders = { "Unlit/Texture" };

        /// <summary>A new unlit material; null, and an error in the console, if none of the shaders is there: a player has
        /// only those that something in it refers to.</summary>
        public static Material New()
        {
            var names = GraphicsSettings.currentRenderPipeline == null ? BuiltInShaders : PipelineShaders;
            foreach (var name in names)
            {
                var shader = Shader.Find(name);
                if (shader != null) return new Material(shader);
            }
            Debug.LogError("TexBridge: no shader " + string.Join(" nor ", names)
                + ". In a build, add it to Project Settings > Graphics > Always Included Shaders");
            return null;
        }

        /// <summary>Show a texture on a renderer alone, whoever else has its material, by the property of that name; without
        /// a name by that of its material.</summary>
        public static void Show(Renderer target, string property, Texture texture)
        {
            var block = new MaterialPropertyBlock();
            target.GetPropertyBlock(block);
            block.SetTexture(string.IsNullOrEmpty(property) ? PropertyOf(target.sharedMaterial) : property, texture);
            target.SetPropertyBlock(block);
        }

        /// <summary>The name of the property of a material that the picture goes to.</summary>
        public static string PropertyOf(Material material)
        {
            if (material != null)
                foreach (var name in Properties)
                    if (material.HasProperty(name)) return name;
            return "_MainTex";
        }
    }
}
