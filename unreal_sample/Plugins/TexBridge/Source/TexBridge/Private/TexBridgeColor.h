// A linear colour of the engine as a parameter's value: four floats, sRGB-encoded.
#pragma once

#include "Core/Value.h"

#include "Math/Color.h"
#include "Math/UnrealMathUtility.h"

namespace texbridge
{
	inline double EncodeSrgb(float Linear)
	{
		const float Clamped = FMath::Clamp(Linear, 0.0f, 1.0f);
		return Clamped <= 0.0031308f ? Clamped * 12.92f : 1.055f * FMath::Pow(Clamped, 1.0f / 2.4f) - 0.055f;
	}

	inline Value ColorValue(const FLinearColor& Color)
	{
		const double Alpha = FMath::Clamp(Color.A, 0.0f, 1.0f);
		return Value::List({EncodeSrgb(Color.R), EncodeSrgb(Color.G), EncodeSrgb(Color.B), Alpha});
	}
}
