// One stream's picture as a texture, and its values as properties that Sequencer can key.
#pragma once

#include "Components/ActorComponent.h"
#include "CoreMinimal.h"

#include <memory>

#include "TexBridgeComponent.generated.h"

class UTexture2D;
class UTexBridgeSubsystem;

namespace texbridge
{
	class Frame;
	struct FrameSet;
	class Mailbox;
	class Run;
	class Session;
	class Value;
}

UENUM(BlueprintType)
enum class ETexBridgeMode : uint8
{
	Oneshot UMETA(ToolTip = "each run is made"),
	Latest UMETA(ToolTip = "a new run takes the place of the one that waits"),
	Live UMETA(ToolTip = "goes on by itself with the newest values"),
};

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FTexBridgeTextureChanged, UTexture2D*, Texture);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_TwoParams(FTexBridgeSequenceEnded, bool, bIsComplete, const FString&, Message);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_ThreeParams(FTexBridgePicture, int32, Number, int64, Request, bool, bIsHeld);

UCLASS(ClassGroup = (TexBridge), meta = (BlueprintSpawnableComponent))
class TEXBRIDGE_API UTexBridgeComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	UTexBridgeComponent();

	/** The stream's name; "main" is there when nothing is configured. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge")
	FString Stream = TEXT("unreal");

	/** Empty: view the stream that is there, and don't open one. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge")
	FString Workflow = TEXT("gradient");

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge")
	ETexBridgeMode Mode = ETexBridgeMode::Live;

	/** Of the pictures to make; 0: what the workflow makes. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge")
	FIntPoint Size = FIntPoint(0, 0);

	/** The owner's meshes get the texture under this name of their materials; None: nothing is touched. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge")
	FName TextureParameter = TEXT("Picture");

	/** Blends between two pictures, so many a second; 0: none. It costs the time between two pictures. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge", meta = (ClampMin = "0", ClampMax = "240"))
	float BlendFps = 0.0f;

	/** For recordings: each tick asks for a picture with the values of that tick, and waits until it is there. TCP only. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Recording")
	bool bWaitForFrame = false;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Recording", meta = (ClampMin = "0.1"))
	float WaitSeconds = 60.0f;

	/** The seed of the pictures that are waited for: the same recording twice is the same twice. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Recording")
	int32 Seed = 0;

	/** Which frame of a sequence a tick waits for, 0 for the first: key it from 0 to the last one, linear. Under 0: the next. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Recording")
	int32 SequenceFrame = -1;

	// Values that can be keyed. A name that is empty sends nothing.
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Values")
	FString NumberAName;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Values")
	float NumberA = 0.0f;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Values")
	FString NumberBName;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Values")
	float NumberB = 0.0f;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Values")
	FString NumberCName;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Values")
	float NumberC = 0.0f;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Values")
	FString ColorAName;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Values")
	FLinearColor ColorA = FLinearColor::White;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Values")
	FString ColorBName;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Values")
	FLinearColor ColorB = FLinearColor::Black;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Values")
	FString TextAName;
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Values")
	FString TextA;

	/** The newest picture; null before the first. Another object when size or kind of colour changes. */
	UPROPERTY(Transient, BlueprintReadOnly, Category = "TexBridge")
	TObjectPtr<UTexture2D> Texture;

	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgeTextureChanged OnTextureChanged;

	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgePicture OnPicture;

	/** One picture with the values that hold. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge")
	void Run();

	/** A key of a sequence that will be begun. Frames count as in BeginSequence; Easing: linear, step, smoothstep, cubic_in,
	 *  cubic_out, cubic_in_out; empty: linear, and a switch for texts. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge|Sequence")
	void AddNumberKey(const FString& Parameter, int32 Frame, double Value, const FString& Easing = TEXT(""));

	UFUNCTION(BlueprintCallable, Category = "TexBridge|Sequence")
	void AddColorKey(const FString& Parameter, int32 Frame, FLinearColor Value, const FString& Easing = TEXT(""));

	UFUNCTION(BlueprintCallable, Category = "TexBridge|Sequence")
	void AddTextKey(const FString& Parameter, int32 Frame, const FString& Value);

	/** Ask for all pictures along the keys. From now on each tick waits for its frame's picture. TCP only; false: no link. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge|Sequence")
	bool BeginSequence(int32 Frames, int32 FirstFrame = 0, float FramesPerSecond = 24.0f);

	/** Show the stream again, and forget the keys. What is left is cancelled. */
	UFUNCTION(BlueprintCallable, Category = "TexBridge|Sequence")
	void EndSequence();

	/** All frames were shown, or one can't be had: the message says which, and why. */
	UPROPERTY(BlueprintAssignable, Category = "TexBridge")
	FTexBridgeSequenceEnded OnSequenceEnded;

	virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
	virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
	UTexBridgeSubsystem* Subsystem() const;
	void Attach(const std::shared_ptr<texbridge::Session>& NewSession);
	void Detach();
	void View(const std::shared_ptr<texbridge::Session>& Link);
	void AddSequenceKey(const FString& Parameter, int32 Frame, const texbridge::Value& NewValue, const FString& Easing);
	bool TakeSequenceFrame(const std::shared_ptr<texbridge::Session>& Link, texbridge::FrameSet& Set);
	texbridge::Value ChangedValues(bool bAll);
	void Upload(const std::shared_ptr<const texbridge::Frame>& Frame);

	std::weak_ptr<texbridge::Session> Attached;
	std::shared_ptr<texbridge::Mailbox> Mailbox;
	std::shared_ptr<texbridge::Value> Sent;
	std::shared_ptr<texbridge::Value> Tracks;
	std::shared_ptr<texbridge::Run> Sequence;
	int32 SequenceLength = 0;
	int32 ShownFrame = -1;
	FString SubscribedStream;
	bool bIsLinear = false;
};
