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
	class Mailbox;
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

	/** For recordings: each tick asks for a picture with the values of that tick, and waits until it is there. TCP only. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Recording")
	bool bWaitForFrame = false;

	UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "TexBridge|Recording", meta = (ClampMin = "0.1"))
	float WaitSeconds = 60.0f;

	/** The seed of the pictures that are waited for: the same recording twice is the same twice. */
	UPROPERTY(EditAnywhere, BlueprintReadWrite, Interp, Category = "TexBridge|Recording")
	int32 Seed = 0;

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

	virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
	virtual void TickComponent(float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

private:
	UTexBridgeSubsystem* Subsystem() const;
	void Attach(const std::shared_ptr<texbridge::Session>& NewSession);
	void Detach();
	texbridge::Value ChangedValues(bool bAll);
	void Upload(const std::shared_ptr<const texbridge::Frame>& Frame);

	std::weak_ptr<texbridge::Session> Attached;
	std::shared_ptr<texbridge::Mailbox> Mailbox;
	std::shared_ptr<texbridge::Value> Sent;
	FString SubscribedStream;
	bool bIsLinear = false;
};
